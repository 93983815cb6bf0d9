package peers;

import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.util.Locale;
import java.util.concurrent.CountDownLatch;

/** Time and CPU of this process, all threads, from the first event to the end that the main thread reports. */
final class Stopwatch {
    private static final OperatingSystemMXBean SYSTEM =
        (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();

    private final long wanted;
    private final CountDownLatch done = new CountDownLatch(1);
    private long counted;
    private long started;
    private long cpuBefore;

    Stopwatch(long wanted) {
        this.wanted = wanted;
    }

    void start() {
        if (started == 0) {
            started = System.nanoTime();
            cpuBefore = SYSTEM.getProcessCpuTime();
        }
    }

    /** Called by the stream thread for each event, before it is folded. */
    void event() {
        if (counted == 0) start();
        if (++counted == wanted) done.countDown();
    }

    void finish() {
        done.countDown();
    }

    void await() throws InterruptedException {
        done.await();
    }

    void report(long events) {
        double seconds = (System.nanoTime() - started) / 1e9;
        double cpu = (SYSTEM.getProcessCpuTime() - cpuBefore) / 1e9;
        System.out.printf(Locale.ROOT, "BENCH {\"events\": %d, \"seconds\": %.6f, \"cpu_seconds\": %.6f}%n",
            events, seconds, cpu);
        System.out.flush();
    }
}

package peers;

import java.time.Duration;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.processor.StateRestoreListener;

/** job=profile, job=mapping, job=rebuild: one run, one result line, and the end. */
public final class Main {
    private Main() {}

    public static void main(String[] arguments) throws Exception {
        Job job = Job.from(arguments);
        Stopwatch stopwatch = new Stopwatch(job.events());
        boolean rebuild = job.word("job").equals("rebuild");
        Topology topology = job.word("job").equals("mapping")
            ? MappingJob.topology(job, stopwatch) : ProfileJob.topology(job, stopwatch);
        KafkaStreams streams = new KafkaStreams(topology, job.settings());
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(3);
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        Restored restored = new Restored(job.events(), stopwatch);
        if (rebuild) streams.setGlobalStateRestoreListener(restored);
        streams.start();
        stopwatch.await();
        if (rebuild) {
            stopwatch.report(restored.keys);
            streams.close(Duration.ofSeconds(30));
        } else {
            streams.close(Duration.ofSeconds(60)); // commits: caches, changelog and output are flushed
            stopwatch.report(job.events());
        }
        Runtime.getRuntime().halt(0);
    }

    /** From the start of the first partition's restoration to the end of the last one's. */
    private static final class Restored implements StateRestoreListener {
        private final long wanted;
        private final Stopwatch stopwatch;
        private long keys;

        Restored(long wanted, Stopwatch stopwatch) {
            this.wanted = wanted;
            this.stopwatch = stopwatch;
        }

        @Override
        public synchronized void onRestoreStart(TopicPartition partition, String store, long from, long to) {
            stopwatch.start();
        }

        @Override
        public void onBatchRestored(TopicPartition partition, String store, long endOffset, long count) {}

        @Override
        public synchronized void onRestoreEnd(TopicPartition partition, String store, long count) {
            keys += count;
            if (keys >= wanted) stopwatch.finish();
        }
    }
}

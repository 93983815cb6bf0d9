package peers;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.streams.StreamsConfig;

/** What the harness asks for: name=value words. Known: job, bootstrap, app, input, output, events, state, guarantee, api. */
record Job(Map<String, String> words) {
    static Job from(String[] arguments) {
        return new Job(Arrays.stream(arguments).map(word -> word.split("=", 2))
            .collect(Collectors.toMap(pair -> pair[0], pair -> pair[1])));
    }

    String word(String name, String otherwise) {
        return words.getOrDefault(name, otherwise);
    }

    String word(String name) {
        String value = words.get(name);
        if (value == null) throw new IllegalArgumentException("missing argument " + name + "=...");
        return value;
    }

    List<String> inputs() {
        return List.of(word("input").split(","));
    }

    String output() {
        return word("output");
    }

    long events() {
        return Long.parseLong(word("events"));
    }

    /** One stream thread, everything else Kafka Streams' default (so: RocksDB, a 10 MiB cache, commits every 30 s). */
    Properties settings() {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, word("app"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, word("bootstrap"));
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, word("state"));
        settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        if (word("guarantee", "at_least_once").equals("exactly_once_v2")) {
            settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        }
        if (words.containsKey("session")) {
            settings.put(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG, word("session"));
            settings.put(ConsumerConfig.HEARTBEAT_INTERVAL_MS_CONFIG, "500");
        }
        return settings;
    }
}

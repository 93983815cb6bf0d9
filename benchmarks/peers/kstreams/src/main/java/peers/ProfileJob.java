package peers;

import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.ProcessorSupplier;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** The profile job. api=aggregate (default): the DSL, changelog and output topic; changelog: the DSL without a second
 * topic; processor: one output for each event. */
final class ProfileJob {
    static final String STORE = "profiles";

    private ProfileJob() {}

    static final class Event {
        public String event;
        public String email;
        public String campaign_id;
        public String list_id;
        public long epoch;
    }

    static final class Profile {
        public Map<String, Integer> cm_email_event = new LinkedHashMap<>();
        public String email;
        public String email_domain;
        public List<String> cm_campaign_ids;
        public List<String> cm_listids;
        public Integer cm_openct;
        public Long cm_lastopen_ts;
        public Long cm_firstopen_ts;
        public Long last_active_ts;
        public Map<String, Integer> cm_hourlyopen;
        public Map<String, Integer> cm_hourofweek;
        public Map<String, Integer> cm_monthly;

        Profile fold(Event event) {
            cm_email_event.merge(event.event, 1, Integer::sum);
            email = event.email;
            email_domain = event.email.substring(event.email.lastIndexOf('@') + 1);
            cm_campaign_ids = with(cm_campaign_ids, event.campaign_id);
            cm_listids = with(cm_listids, event.list_id);
            if ("open".equals(event.event)) {
                cm_openct = cm_openct == null ? 1 : cm_openct + 1;
                if (cm_lastopen_ts == null || event.epoch > cm_lastopen_ts) cm_lastopen_ts = event.epoch;
                if (cm_firstopen_ts == null || event.epoch < cm_firstopen_ts) cm_firstopen_ts = event.epoch;
                LocalDateTime moment = LocalDateTime.ofEpochSecond(event.epoch, 0, ZoneOffset.UTC);
                int hour = moment.getHour();
                int year = moment.getYear() % 100;
                int month = moment.getMonthValue();
                cm_hourlyopen = plusOne(cm_hourlyopen, Integer.toString(hour));
                cm_hourofweek = plusOne(cm_hourofweek,
                    Integer.toString((moment.getDayOfWeek().getValue() - 1) * 24 + hour));
                cm_monthly = plusOne(cm_monthly, (year < 10 ? "0" : "") + year + (month < 10 ? "0" : "") + month);
            }
            if (last_active_ts == null || event.epoch > last_active_ts) last_active_ts = event.epoch;
            return this;
        }

        private static List<String> with(List<String> known, String value) {
            if (value == null) return known;
            List<String> values = known == null ? new ArrayList<>() : known;
            if (!values.contains(value)) values.add(value);
            return values;
        }

        private static Map<String, Integer> plusOne(Map<String, Integer> known, String name) {
            Map<String, Integer> counts = known == null ? new LinkedHashMap<>() : known;
            counts.merge(name, 1, Integer::sum);
            return counts;
        }
    }

    static Topology topology(Job job, Stopwatch stopwatch) {
        return job.word("api", "aggregate").equals("processor") ? processor(job, stopwatch) : aggregate(job, stopwatch);
    }

    private static Topology aggregate(Job job, Stopwatch stopwatch) {
        StreamsBuilder builder = new StreamsBuilder();
        KTable<String, Profile> profiles = builder
            .stream(job.inputs().get(0), Consumed.with(Serdes.String(), Json.serde(Event.class)))
            .groupByKey()
            .aggregate(Profile::new, (key, event, profile) -> {
                stopwatch.event();
                return profile.fold(event);
            }, Materialized.<String, Profile, KeyValueStore<Bytes, byte[]>>as(STORE)
                .withKeySerde(Serdes.String()).withValueSerde(Json.serde(Profile.class)));
        if (!job.word("api", "aggregate").equals("changelog")) {
            profiles.toStream().to(job.output(), Produced.with(Serdes.String(), Json.serde(Profile.class)));
        }
        return builder.build();
    }

    private static Topology processor(Job job, Stopwatch stopwatch) {
        ProcessorSupplier<String, Event, String, Profile> folding = () -> new Processor<>() {
            private ProcessorContext<String, Profile> context;
            private KeyValueStore<String, Profile> store;

            @Override
            public void init(ProcessorContext<String, Profile> given) {
                context = given;
                store = given.getStateStore(STORE);
            }

            @Override
            public void process(Record<String, Event> record) {
                stopwatch.event();
                Profile known = store.get(record.key());
                Profile profile = (known == null ? new Profile() : known).fold(record.value());
                store.put(record.key(), profile);
                context.forward(record.withValue(profile));
            }
        };
        return new Topology()
            .addSource("events", Serdes.String().deserializer(), Json.serde(Event.class).deserializer(),
                job.inputs().get(0))
            .addProcessor("fold", folding, "events")
            .addStateStore(Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(STORE), Serdes.String(),
                Json.serde(Profile.class)).withCachingEnabled(), "fold")
            .addSink("profiles-out", job.output(), Serdes.String().serializer(),
                Json.serde(Profile.class).serializer(), "fold");
    }
}

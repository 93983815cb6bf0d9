package peers;

import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.KeyValueStore;

/** The full default mapping of cm_user and cm_activity, both inputs folded into one profile per person. */
final class MappingJob {
    private MappingJob() {}

    static Topology topology(Job job, Stopwatch stopwatch) {
        StreamsBuilder builder = new StreamsBuilder();
        KGroupedStream<String, UserEvent> users = builder
            .stream(job.inputs().get(0), Consumed.with(Serdes.String(), Json.serde(UserEvent.class))).groupByKey();
        KGroupedStream<String, ActivityEvent> activities = builder
            .stream(job.inputs().get(1), Consumed.with(Serdes.String(), Json.serde(ActivityEvent.class))).groupByKey();
        users.<MappedProfile>cogroup((key, event, profile) -> {
            stopwatch.event();
            return profile.fold(event);
        }).cogroup(activities, (key, event, profile) -> {
            stopwatch.event();
            return profile.fold(event);
        }).aggregate(MappedProfile::new, Materialized
            .<String, MappedProfile, KeyValueStore<Bytes, byte[]>>as(ProfileJob.STORE)
            .withKeySerde(Serdes.String()).withValueSerde(Json.serde(MappedProfile.class)))
            .toStream().mapValues(MappedProfile::visible)
            .to(job.output(), Produced.with(Serdes.String(), Json.serde(MappedProfile.Public.class)));
        return builder.build();
    }

    /** What the mapping reads of a cm_user message. */
    static final class UserEvent {
        public String at;
        public String email;
        public String name;
        public String list_id;
        public String list_name;
        public String status;
        public String client_id;
        public String client_name;
    }

    /** What the mapping reads of a cm_activity message. */
    static final class ActivityEvent {
        public String at;
        public String event;
        public String email;
        public String status;
        public String client_id;
        public String client_name;
        public String list_id;
        public String list_name;
        public String campaign_id;
        public String campaign_name;
        public String url;
        public String cc;
        public String city;
        public String region;
    }
}

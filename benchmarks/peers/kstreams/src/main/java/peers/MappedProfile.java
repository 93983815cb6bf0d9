package peers;

import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;

/** A person's row: the public profile, and beside it the time of each value that is "latest by message time".
 *
 * It does not recognise repeated event ids: the measured input has none, so this peer does less than ours, not more. */
final class MappedProfile {
    private static final DateTimeFormatter RFC3339 =
        DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'").withZone(ZoneOffset.UTC);

    public Public profile = new Public();
    /** Field, or field and map key joined by a line break, to milliseconds. */
    public Map<String, Long> times = new HashMap<>();

    static final class Public {
        public String email;
        public String email_domain;
        public Map<String, String> cm_list_ids_status;
        public Map<String, String> cm_list_names_status;
        public String cm_name;
        public TreeSet<String> cm_client_ids;
        public TreeSet<String> cm_client_names;
        public String country_code;
        public String city;
        public String region;
        public Long cm_clickct;
        public Long cm_openct;
        public Long cm_sendct;
        public String cm_lastclick_ts;
        public String cm_lastopen_ts;
        public Long cm_unsub_ts;
        public String last_active_ts;
        public String cm_firstclick_ts;
        public String cm_firstopen_ts;
        public TreeSet<String> channels;
        public TreeSet<String> cm_campaign_ids;
        public TreeSet<String> cm_campaign_names;
        public TreeSet<String> cm_listids;
        public TreeSet<String> cm_list_names;
        public TreeSet<String> cm_email_urls;
        public Map<String, Long> cm_email_event;
        public Map<String, Long> hashedurls;
        public Map<String, Long> cm_hourlyopen;
        public Map<String, Long> cm_hourofweek;
        public Map<String, Long> cm_monthly;
    }

    Public visible() {
        return profile;
    }

    MappedProfile fold(MappingJob.UserEvent event) {
        long at = Instant.parse(event.at).toEpochMilli();
        identify(event.email, at);
        profile.cm_list_ids_status = put(profile.cm_list_ids_status, "cm_list_ids_status", event.list_id,
            event.status, at);
        profile.cm_list_names_status = put(profile.cm_list_names_status, "cm_list_names_status", event.list_name,
            event.status, at);
        if (isLatest("cm_name", event.name, at)) profile.cm_name = event.name;
        profile.cm_client_ids = add(profile.cm_client_ids, event.client_id);
        profile.cm_client_names = add(profile.cm_client_names, event.client_name);
        return this;
    }

    MappedProfile fold(MappingJob.ActivityEvent event) {
        Instant instant = Instant.parse(event.at);
        long at = instant.toEpochMilli();
        Public p = profile;
        identify(event.email, at);
        if (isLatest("country_code", event.cc, at)) p.country_code = event.cc;
        if (isLatest("city", event.city, at)) p.city = event.city;
        if (isLatest("region", event.region, at)) p.region = event.region;
        String kind = event.event == null ? "" : event.event;
        boolean open = kind.equals("open");
        boolean click = kind.equals("click");
        if (open || click || kind.equals("subscribe")) {
            String date = RFC3339.format(instant);
            p.last_active_ts = later(p.last_active_ts, date);
            p.channels = add(p.channels, "email");
            if (open) {
                p.cm_openct = plus(p.cm_openct);
                p.cm_lastopen_ts = later(p.cm_lastopen_ts, date);
                p.cm_firstopen_ts = earlier(p.cm_firstopen_ts, date);
                LocalDateTime moment = LocalDateTime.ofInstant(instant, ZoneOffset.UTC);
                int hour = moment.getHour();
                int year = moment.getYear() % 100;
                int month = moment.getMonthValue();
                p.cm_hourlyopen = count(p.cm_hourlyopen, Integer.toString(hour));
                p.cm_hourofweek = count(p.cm_hourofweek,
                    Integer.toString(moment.getDayOfWeek().getValue() % 7 * 24 + hour));
                p.cm_monthly = count(p.cm_monthly, (year < 10 ? "0" : "") + year + (month < 10 ? "0" : "") + month);
            } else if (click) {
                p.cm_clickct = plus(p.cm_clickct);
                p.cm_lastclick_ts = later(p.cm_lastclick_ts, date);
                p.cm_firstclick_ts = earlier(p.cm_firstclick_ts, date);
            }
            byte[] address = open || click ? UrlMain.of(event.url) : null;
            if (address != null) p.hashedurls = count(p.hashedurls, Long.toString(SipHash.hash(address)));
        } else if (kind.equals("sent")) {
            p.cm_sendct = plus(p.cm_sendct);
        } else if (kind.equals("deactivate") && "unsubscribe".equals(event.status)) {
            p.cm_unsub_ts = p.cm_unsub_ts == null ? at : Math.max(p.cm_unsub_ts, at);
        }
        p.cm_campaign_ids = add(p.cm_campaign_ids, event.campaign_id);
        p.cm_campaign_names = add(p.cm_campaign_names, event.campaign_name);
        p.cm_client_ids = add(p.cm_client_ids, event.client_id);
        p.cm_client_names = add(p.cm_client_names, event.client_name);
        p.cm_listids = add(p.cm_listids, event.list_id);
        p.cm_list_names = add(p.cm_list_names, event.list_name);
        p.cm_email_urls = add(p.cm_email_urls, event.url);
        if (!kind.isEmpty()) p.cm_email_event = count(p.cm_email_event, kind);
        return this;
    }

    private void identify(String email, long at) {
        String address = bare(email);
        if (isLatest("email", address, at)) {
            profile.email = address;
            profile.email_domain = address.substring(address.lastIndexOf('@') + 1);
        }
    }

    /** The address inside angle brackets or the whole text, in lower case; the input has no other forms. */
    private static String bare(String email) {
        int open = email.lastIndexOf('<');
        String address = open < 0 ? email : email.substring(open + 1, email.indexOf('>', open));
        return address.strip().toLowerCase(Locale.ROOT);
    }

    /** Whether a value that came now is the latest by message time, and if so remember that time. */
    private boolean isLatest(String field, String value, long at) {
        if (value == null || value.isEmpty()) return false;
        Long known = times.get(field);
        if (known != null && known > at) return false;
        times.put(field, at);
        return true;
    }

    private Map<String, String> put(Map<String, String> known, String field, String name, String value, long at) {
        if (name == null || name.isEmpty() || !isLatest(field + "\n" + name, value, at)) return known;
        Map<String, String> entries = known == null ? new TreeMap<>() : known;
        entries.put(name, value);
        return entries;
    }

    private static TreeSet<String> add(TreeSet<String> known, String value) {
        if (value == null || value.isEmpty()) return known;
        TreeSet<String> values = known == null ? new TreeSet<>() : known;
        values.add(value);
        return values;
    }

    private static Map<String, Long> count(Map<String, Long> known, String name) {
        Map<String, Long> counts = known == null ? new TreeMap<>() : known;
        counts.merge(name, 1L, Long::sum);
        return counts;
    }

    private static Long plus(Long known) {
        return known == null ? 1L : known + 1L;
    }

    private static String later(String known, String date) {
        return known == null || date.compareTo(known) > 0 ? date : known;
    }

    private static String earlier(String known, String date) {
        return known == null || date.compareTo(known) < 0 ? date : known;
    }
}

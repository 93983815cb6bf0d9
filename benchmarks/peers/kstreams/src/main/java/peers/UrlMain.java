package peers;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;

/** urlmain(x): host and path of a URL, the path percent-decoded once, as bytes (they need not be UTF-8). */
final class UrlMain {
    private UrlMain() {}

    /** Returns null where the text yields no value. */
    static byte[] of(String url) {
        if (url == null || url.isEmpty()) return null;
        for (int i = 0; i < url.length(); i++) {
            if (url.charAt(i) < ' ' || url.charAt(i) == 0x7f) return null;
        }
        String rest = cut(cut(url, '#'), '?');
        int scheme = schemeEnd(rest);
        if (scheme == 0) return null;
        if (scheme > 0) {
            rest = rest.substring(scheme + 1);
            if (!rest.startsWith("/")) return null; // mailto:..., host:port/path: opaque
        } else if (beforeSlash(rest).indexOf(':') >= 0) {
            return null;
        }
        String host = "";
        if (rest.startsWith("//")) {
            int slash = rest.indexOf('/', 2);
            host = rest.substring(2, slash < 0 ? rest.length() : slash);
            rest = slash < 0 ? "" : rest.substring(slash);
            host = host.substring(host.lastIndexOf('@') + 1);
            if (!hostIsValid(host)) return null;
        }
        byte[] path = decoded(rest);
        if (path == null) return null;
        byte[] before = host.getBytes(StandardCharsets.UTF_8);
        if (before.length + path.length == 0) return null;
        byte[] whole = new byte[before.length + path.length];
        System.arraycopy(before, 0, whole, 0, before.length);
        System.arraycopy(path, 0, whole, before.length, path.length);
        return whole;
    }

    private static String cut(String text, char mark) {
        int at = text.indexOf(mark);
        return at < 0 ? text : text.substring(0, at);
    }

    private static String beforeSlash(String text) {
        return cut(text, '/');
    }

    /** Index of the colon after a scheme; -1 when there is no scheme; 0 when a colon comes first. */
    private static int schemeEnd(String text) {
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == ':') return i;
            boolean letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
            boolean inner = (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
            if (!letter && (i == 0 || !inner)) return -1;
        }
        return -1;
    }

    private static boolean hostIsValid(String host) {
        if (host.indexOf(' ') >= 0 || host.indexOf('%') >= 0) return false;
        int colon = host.startsWith("[") ? host.indexOf(':', host.indexOf(']') + 1) : host.indexOf(':');
        for (int i = colon + 1; colon >= 0 && i < host.length(); i++) {
            if (!Character.isDigit(host.charAt(i))) return false;
        }
        return true;
    }

    private static byte[] decoded(String path) {
        byte[] raw = path.getBytes(StandardCharsets.UTF_8);
        if (path.indexOf('%') < 0) return raw;
        ByteArrayOutputStream bytes = new ByteArrayOutputStream(raw.length);
        for (int i = 0; i < raw.length; i++) {
            if (raw[i] != '%') {
                bytes.write(raw[i]);
                continue;
            }
            int high = i + 2 < raw.length ? Character.digit(raw[i + 1], 16) : -1;
            int low = i + 2 < raw.length ? Character.digit(raw[i + 2], 16) : -1;
            if (high < 0 || low < 0) return null;
            bytes.write(high * 16 + low);
            i += 2;
        }
        return bytes.toByteArray();
    }
}

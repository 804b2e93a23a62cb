package ENTRY;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.security.CodeSource;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * Keeps what each test came to, and seals it at the end.
 *
 * Standard input holds a line with a key, and the names of the test classes, one a line. It is read to
 * its end before a class of the candidate is loaded. The package has a name that nobody knows
 * beforehand, and no static field leads here. Whoever reports with code of the candidate on the stack
 * is not listened to.
 */
final class Ledger {
    private final FileOutputStream out = new FileOutputStream(FileDescriptor.out);
    private final Mac mac = Mac.getInstance("HmacSHA256");
    private final Map<String, String[]> results = new LinkedHashMap<>();
    private final Set<String> collected = new LinkedHashSet<>();
    private final Map<String, String> errors = new LinkedHashMap<>();
    private final List<String> faults = new ArrayList<>();
    private boolean verified;
    final List<Class<?>> classes = new ArrayList<>();
    final String control;

    Ledger(Class<?> control) throws Exception {
        String[] lines = new String(System.in.readAllBytes(), StandardCharsets.UTF_8).split("\n");
        mac.init(new SecretKeySpec(lines[0].getBytes(StandardCharsets.UTF_8), "HmacSHA256"));
        System.setOut(System.err);
        this.control = control.getName();
        ClassLoader loader = Ledger.class.getClassLoader();
        for (int i = 1; i < lines.length; i++) {
            try {
                classes.add(Class.forName(lines[i], false, loader));
            } catch (Throwable error) {
                error(lines[i], error);
            }
        }
        classes.add(new Random().nextInt(classes.size() + 1), control);
    }

    private boolean forged() {
        boolean found = StackWalker.getInstance(StackWalker.Option.RETAIN_CLASS_REFERENCE).walk(
            frames -> frames.anyMatch(frame -> {
                CodeSource source = frame.getDeclaringClass().getProtectionDomain().getCodeSource();
                return source != null && source.getLocation() != null
                    && source.getLocation().getPath().endsWith("/candidate.jar");
            }));
        if (found) faults.add("a result was forged");
        return found;
    }

    synchronized void collect(String owner, String name) {
        if (!owner.equals(control)) collected.add(name);
    }

    synchronized void running(String owner, String name) throws IOException {
        if (owner.equals(control)) return;
        out.write(("\nassay-running " + quote(name) + "\n").getBytes(StandardCharsets.UTF_8));
    }

    synchronized void error(String name, Throwable error) {
        errors.putIfAbsent(name, text(error));
    }

    static String kind(Throwable error) {
        if (error instanceof AssertionError) return "failed";
        return error instanceof OutOfMemoryError ? "memory" : "crashed";
    }

    /** A later report of the same test counts where it is worse. */
    synchronized void result(String owner, String name, String kind, Throwable error) {
        if (forged()) return;
        if (owner.equals(control)) {
            verified |= kind.equals("failed");
            return;
        }
        collected.add(name);
        String[] known = results.get(name);
        if (known == null || known[0].equals("passed")) results.put(name, new String[] {kind, text(error)});
    }

    synchronized boolean has(String name) {
        return results.containsKey(name);
    }

    void seal() throws IOException {
        StringBuilder body = new StringBuilder("{\"control\":").append(verified).append(",\"collected\":[");
        String comma = "";
        for (String name : collected) {
            body.append(comma).append(quote(name));
            comma = ",";
        }
        body.append("],\"results\":[");
        comma = "";
        for (Map.Entry<String, String[]> entry : results.entrySet()) {
            String[] result = entry.getValue();
            body.append(comma).append('[').append(quote(entry.getKey())).append(",\"call\",")
                .append(quote(result[0])).append(',').append(quote(result[1])).append(']');
            comma = ",";
        }
        body.append("],\"errors\":[");
        comma = "";
        for (Map.Entry<String, String> entry : errors.entrySet()) {
            body.append(comma).append('[').append(quote(entry.getKey())).append(',').append(quote(entry.getValue())).append(']');
            comma = ",";
        }
        body.append("],\"faults\":[");
        comma = "";
        for (String fault : faults) {
            body.append(comma).append(quote(fault));
            comma = ",";
        }
        byte[] bytes = body.append("]}").toString().getBytes(StandardCharsets.UTF_8);
        StringBuilder frame = new StringBuilder("\nassay-report ");
        for (byte part : mac.doFinal(bytes)) frame.append(String.format("%02x", part));
        out.write(frame.append(' ').toString().getBytes(StandardCharsets.UTF_8));
        out.write(bytes);
        out.write('\n');
        System.err.flush();
        Runtime.getRuntime().halt(0);
    }

    private static String text(Throwable error) {
        if (error == null) return "";
        try {
            StringWriter text = new StringWriter();
            error.printStackTrace(new PrintWriter(text, true));
            return text.toString().substring(0, Math.min(4000, text.getBuffer().length()));
        } catch (Throwable other) {
            return error.getClass().getName();
        }
    }

    private static String quote(String value) {
        StringBuilder out = new StringBuilder("\"");
        for (char c : value.toCharArray()) {
            if (c == '"' || c == '\\') out.append('\\').append(c);
            else if (c < 0x20 || c > 0x7e) out.append(String.format("\\u%04x", (int) c));
            else out.append(c);
        }
        return out.append('"').toString();
    }
}

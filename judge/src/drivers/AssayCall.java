import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.lang.reflect.Array;
import java.lang.reflect.Constructor;
import java.lang.reflect.GenericArrayType;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Calls one method of a candidate and writes what it returned, as plain data.
 *
 * Standard input holds the name of the method and its arguments. What was expected is not here and
 * never comes here: the result is compared outside. What the candidate prints goes to standard error.
 */
final class AssayCall {
    private final String text;
    private int at;

    private AssayCall(String text) {
        this.text = text;
    }

    public static void main(String[] classes) throws Throwable {
        String input = new String(System.in.readAllBytes(), StandardCharsets.UTF_8);
        FileOutputStream out = new FileOutputStream(FileDescriptor.out);
        System.setOut(System.err);
        Map<?, ?> request = (Map<?, ?>) new AssayCall(input).value();
        List<?> arguments = (List<?>) request.get("args");
        Method method = find(classes, (String) request.get("entry"), arguments.size());
        method.setAccessible(true);
        Type[] types = method.getGenericParameterTypes();
        Object[] values = new Object[types.length];
        for (int i = 0; i < values.length; i++) values[i] = convert(arguments.get(i), types[i]);
        Object self = null;
        if (!Modifier.isStatic(method.getModifiers())) {
            Constructor<?> constructor = method.getDeclaringClass().getDeclaredConstructor();
            constructor.setAccessible(true);
            self = constructor.newInstance();
        }
        Object result;
        try {
            result = method.invoke(self, values);
        } catch (InvocationTargetException thrown) {
            System.err.print("Exception in thread \"main\" ");
            thrown.getCause().printStackTrace();
            System.exit(1);
            return;
        }
        StringBuilder frame = new StringBuilder("\n");
        encode(result, frame);
        out.write(frame.append('\n').toString().getBytes(StandardCharsets.UTF_8));
        Runtime.getRuntime().halt(0);
    }

    private static Method find(String[] classes, String name, int count) throws Exception {
        for (String owner : classes) {
            Class<?> found;
            try {
                found = Class.forName(owner);
            } catch (ClassNotFoundException missing) {
                continue;
            }
            for (Method method : found.getDeclaredMethods()) {
                if (method.getName().equals(name) && method.getParameterCount() == count) return method;
            }
        }
        throw new NoSuchMethodException("the program defines no method " + name + " of " + count + " arguments");
    }

    private static Class<?> raw(Type type) {
        if (type instanceof Class<?> c) return c;
        if (type instanceof ParameterizedType p) return (Class<?>) p.getRawType();
        if (type instanceof GenericArrayType a) return Array.newInstance(raw(a.getGenericComponentType()), 0).getClass();
        return Object.class;
    }

    private static Type argument(Type type, int position) {
        return type instanceof ParameterizedType p ? p.getActualTypeArguments()[position] : Object.class;
    }

    private static Object convert(Object value, Type type) {
        Class<?> c = raw(type);
        if (value == null) return null;
        if (c.isArray()) {
            Type item = type instanceof GenericArrayType a ? a.getGenericComponentType() : c.getComponentType();
            if (value instanceof String s && c == char[].class) return s.toCharArray();
            List<?> items = (List<?>) value;
            Object array = Array.newInstance(c.getComponentType(), items.size());
            for (int i = 0; i < items.size(); i++) Array.set(array, i, convert(items.get(i), item));
            return array;
        }
        if (c == boolean.class || c == Boolean.class || c == String.class) return value;
        if (c == char.class || c == Character.class) return ((String) value).charAt(0);
        if (c == BigInteger.class) return (BigInteger) value;
        if (value instanceof Number n) {
            if (c == int.class || c == Integer.class) return ((BigInteger) n).intValueExact();
            if (c == long.class || c == Long.class) return ((BigInteger) n).longValueExact();
            if (c == short.class || c == Short.class) return ((BigInteger) n).shortValueExact();
            if (c == byte.class || c == Byte.class) return ((BigInteger) n).byteValueExact();
            if (c == double.class || c == Double.class) return n.doubleValue();
            if (c == float.class || c == Float.class) return n.floatValue();
            if (n instanceof BigInteger b && b.bitLength() < 32) return b.intValue();
            return n instanceof BigInteger b && b.bitLength() < 64 ? (Object) b.longValue() : n;
        }
        if (value instanceof List<?> items) {
            Collection<Object> target = Set.class.isAssignableFrom(c) ? new LinkedHashSet<>() : new ArrayList<>();
            for (Object item : items) target.add(convert(item, argument(type, 0)));
            return target;
        }
        if (value instanceof Map<?, ?> map) {
            Map<Object, Object> target = new LinkedHashMap<>();
            for (Map.Entry<?, ?> entry : map.entrySet()) {
                Type key = argument(type, 0);
                Object name = entry.getKey();
                if (Number.class.isAssignableFrom(raw(key))) name = new BigInteger((String) name);
                target.put(convert(name, key), convert(entry.getValue(), argument(type, 1)));
            }
            return target;
        }
        return value;
    }

    private static void encode(Object value, StringBuilder out) {
        if (value == null) {
            out.append("null");
        } else if (value instanceof Boolean || value instanceof Integer || value instanceof Long
                || value instanceof Short || value instanceof Byte || value instanceof BigInteger) {
            out.append(value);
        } else if (value instanceof Double || value instanceof Float) {
            double number = ((Number) value).doubleValue();
            if (Double.isNaN(number)) out.append("{\"float\":\"nan\"}");
            else if (Double.isInfinite(number)) out.append(number > 0 ? "{\"float\":\"inf\"}" : "{\"float\":\"-inf\"}");
            else out.append(value);
        } else if (value instanceof String || value instanceof Character) {
            quote(value.toString(), out);
        } else if (value.getClass().isArray()) {
            List<Object> items = new ArrayList<>();
            for (int i = 0; i < Array.getLength(value); i++) items.add(Array.get(value, i));
            list(items, "[", "]", out);
        } else if (value instanceof Set<?> set) {
            list(set, "{\"set\":[", "]}", out);
        } else if (value instanceof Collection<?> items) {
            list(items, "[", "]", out);
        } else if (value instanceof Map<?, ?> map) {
            out.append("{\"dict\":[");
            String comma = "";
            for (Map.Entry<?, ?> entry : map.entrySet()) {
                out.append(comma).append('[');
                encode(entry.getKey(), out);
                out.append(',');
                encode(entry.getValue(), out);
                out.append(']');
                comma = ",";
            }
            out.append("]}");
        } else {
            out.append("{\"other\":");
            quote(value.getClass().getName(), out);
            out.append('}');
        }
    }

    private static void list(Collection<?> items, String open, String close, StringBuilder out) {
        out.append(open);
        String comma = "";
        for (Object item : items) {
            out.append(comma);
            encode(item, out);
            comma = ",";
        }
        out.append(close);
    }

    private static void quote(String value, StringBuilder out) {
        out.append('"');
        for (char c : value.toCharArray()) {
            if (c == '"' || c == '\\') out.append('\\').append(c);
            else if (c < 0x20 || c > 0x7e) out.append(String.format("\\u%04x", (int) c));
            else out.append(c);
        }
        out.append('"');
    }

    private void space() {
        while (at < text.length() && Character.isWhitespace(text.charAt(at))) at++;
    }

    private Object value() {
        space();
        char c = text.charAt(at);
        if (c == '{') return object();
        if (c == '[') {
            List<Object> items = new ArrayList<>();
            for (at++; ; ) {
                space();
                if (text.charAt(at) == ']') break;
                if (text.charAt(at) == ',') at++;
                items.add(value());
            }
            at++;
            return items;
        }
        if (c == '"') return string();
        int start = at;
        while (at < text.length() && ",]} \t\r\n".indexOf(text.charAt(at)) < 0) at++;
        String word = text.substring(start, at);
        switch (word) {
            case "null": return null;
            case "true": return true;
            case "false": return false;
            case "NaN": return Double.NaN;
            case "Infinity": return Double.POSITIVE_INFINITY;
            case "-Infinity": return Double.NEGATIVE_INFINITY;
            default:
                boolean real = word.contains(".") || word.contains("e") || word.contains("E");
                return real ? (Object) Double.valueOf(word) : new BigInteger(word);
        }
    }

    private Object object() {
        Map<String, Object> entries = new LinkedHashMap<>();
        for (at++; ; ) {
            space();
            if (text.charAt(at) == '}') break;
            if (text.charAt(at) == ',') at++;
            space();
            String key = string();
            space();
            at++;
            entries.put(key, value());
        }
        at++;
        return entries;
    }

    private String string() {
        StringBuilder out = new StringBuilder();
        for (at++; text.charAt(at) != '"'; at++) {
            char c = text.charAt(at);
            if (c != '\\') {
                out.append(c);
                continue;
            }
            c = text.charAt(++at);
            int known = "bfnrt".indexOf(c);
            if (known >= 0) {
                out.append("\b\f\n\r\t".charAt(known));
            } else if (c == 'u') {
                out.append((char) Integer.parseInt(text.substring(at + 1, at + 5), 16));
                at += 4;
            } else {
                out.append(c);
            }
        }
        at++;
        return out.toString();
    }
}

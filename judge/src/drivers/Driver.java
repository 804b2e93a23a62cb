package ENTRY;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;

/**
 * Calls the main method of a class that holds a candidate and its assertions, and proves that it
 * returned.
 *
 * Standard input is a pipe with a one-time value; it is read to its end before the class is loaded.
 * The package has a name that nobody knows beforehand, so that no class of the candidate is in it.
 * The value is written when main has returned and assertions were on. System.exit never gets there.
 */
public final class Driver {
    private Driver() {}

    public static void main(String[] arguments) throws Throwable {
        byte[] value = System.in.readAllBytes();
        FileOutputStream output = new FileOutputStream(FileDescriptor.out);
        Class<?> program = Class.forName(arguments[0], false, Driver.class.getClassLoader());
        Method main = program.getDeclaredMethod("main", String[].class);
        main.setAccessible(true);
        try {
            main.invoke(null, (Object) new String[0]);
        } catch (InvocationTargetException thrown) {
            System.err.print("Exception in thread \"main\" ");
            thrown.getCause().printStackTrace();
            System.exit(1);
        }
        if (!assertionsWereOn(program)) {
            System.err.println("assertions were switched off");
            System.exit(1);
        }
        System.out.flush();
        byte[] proof = new byte[value.length + 1];
        proof[0] = '\n';
        System.arraycopy(value, 0, proof, 1, value.length);
        output.write(proof);
        Runtime.getRuntime().halt(0);
    }

    /** The compiler keeps the switch of a class in a field of this name, if the class asserts. */
    private static boolean assertionsWereOn(Class<?> program) throws IllegalAccessException {
        for (Field field : program.getDeclaredFields()) {
            if (field.isSynthetic() && field.getName().equals("$assertionsDisabled")) {
                field.setAccessible(true);
                return !field.getBoolean(null);
            }
        }
        return true;
    }
}

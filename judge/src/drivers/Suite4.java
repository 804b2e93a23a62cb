package ENTRY;

import org.junit.Test;
import org.junit.runner.Description;
import org.junit.runner.JUnitCore;
import org.junit.runner.Request;
import org.junit.runner.notification.Failure;
import org.junit.runner.notification.RunListener;

/** Runs test classes of JUnit 4; see {@link Ledger}. A test of its own must fail. */
public final class Suite {
    private Suite() {}

    public static final class Control {
        @Test
        public void control() {
            throw new AssertionError();
        }
    }

    public static void main(String[] arguments) throws Exception {
        Ledger ledger = new Ledger(Control.class);
        Request request = Request.classes(ledger.classes.toArray(new Class<?>[0]));
        collect(ledger, request.getRunner().getDescription());
        JUnitCore core = new JUnitCore();
        core.addListener(new RunListener() {
            @Override
            public void testStarted(Description test) throws Exception {
                ledger.running(owner(test), name(test));
            }

            @Override
            public void testFailure(Failure failure) {
                Description test = failure.getDescription();
                if (test.getMethodName() == null) ledger.error(test.getDisplayName(), failure.getException());
                else ledger.result(owner(test), name(test), Ledger.kind(failure.getException()), failure.getException());
            }

            @Override
            public void testAssumptionFailure(Failure failure) {
                Description test = failure.getDescription();
                ledger.result(owner(test), name(test), "left", failure.getException());
            }

            @Override
            public void testIgnored(Description test) {
                ledger.result(owner(test), name(test), "skipped", null);
            }

            @Override
            public void testFinished(Description test) {
                if (!ledger.has(name(test))) ledger.result(owner(test), name(test), "passed", null);
            }
        });
        core.run(request);
        ledger.seal();
    }

    private static void collect(Ledger ledger, Description description) {
        if (description.isTest()) ledger.collect(owner(description), name(description));
        for (Description child : description.getChildren()) collect(ledger, child);
    }

    private static String owner(Description test) {
        return String.valueOf(test.getClassName());
    }

    private static String name(Description test) {
        return test.getClassName() + "." + test.getMethodName();
    }
}

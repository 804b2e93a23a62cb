package ENTRY;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.platform.engine.DiscoverySelector;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.engine.TestSource;
import org.junit.platform.engine.discovery.DiscoverySelectors;
import org.junit.platform.engine.support.descriptor.ClassSource;
import org.junit.platform.engine.support.descriptor.MethodSource;
import org.junit.platform.launcher.Launcher;
import org.junit.platform.launcher.LauncherDiscoveryRequest;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.TestPlan;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;

/** Runs test classes of JUnit 5; see {@link Ledger}. A test of its own must fail. */
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
        List<DiscoverySelector> selectors = new ArrayList<>();
        for (Class<?> one : ledger.classes) selectors.add(DiscoverySelectors.selectClass(one));
        LauncherDiscoveryRequest request =
            LauncherDiscoveryRequestBuilder.request().selectors(selectors).build();
        Launcher launcher = LauncherFactory.create();
        launcher.execute(request, new TestExecutionListener() {
            @Override
            public void testPlanExecutionStarted(TestPlan plan) {
                for (TestIdentifier root : plan.getRoots()) {
                    for (TestIdentifier test : plan.getDescendants(root)) {
                        if (test.isTest()) ledger.collect(owner(test), name(test));
                    }
                }
            }

            @Override
            public void executionStarted(TestIdentifier test) {
                try {
                    if (test.isTest()) ledger.running(owner(test), name(test));
                } catch (java.io.IOException error) {
                    throw new java.io.UncheckedIOException(error);
                }
            }

            @Override
            public void executionSkipped(TestIdentifier test, String reason) {
                if (test.isTest()) ledger.result(owner(test), name(test), "skipped", null);
            }

            @Override
            public void executionFinished(TestIdentifier test, TestExecutionResult result) {
                Throwable error = result.getThrowable().orElse(null);
                if (!test.isTest()) {
                    if (error != null) ledger.error(test.getDisplayName(), error);
                    return;
                }
                String kind = switch (result.getStatus()) {
                    case SUCCESSFUL -> "passed";
                    case ABORTED -> "left";
                    case FAILED -> Ledger.kind(error);
                };
                ledger.result(owner(test), name(test), kind, error);
            }
        });
        ledger.seal();
    }

    private static String owner(TestIdentifier test) {
        TestSource source = test.getSource().orElse(null);
        if (source instanceof MethodSource method) return method.getClassName();
        return source instanceof ClassSource type ? type.getClassName() : "";
    }

    /** Class and method; what is made at run time has a number, too. */
    private static String name(TestIdentifier test) {
        TestSource source = test.getSource().orElse(null);
        String id = test.getUniqueId();
        int number = id.lastIndexOf("-invocation:#");
        if (number < 0) number = id.lastIndexOf("dynamic-test:#");
        String suffix = number < 0 ? "" : "[" + id.substring(id.indexOf('#', number) + 1, id.length() - 1) + "]";
        String method = source instanceof MethodSource one ? one.getMethodName() : test.getDisplayName();
        return owner(test) + "." + method + suffix;
    }
}

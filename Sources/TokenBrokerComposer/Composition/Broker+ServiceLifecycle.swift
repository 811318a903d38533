#if ServiceLifecycleSupport
public import ServiceLifecycle

extension Broker: Service {}
#endif

extension Broker {
    /// Waits until the task is cancelled or a shutdown begins.
    func waitUntilStopped() async {
        #if ServiceLifecycleSupport
        await cancelWhenGracefulShutdown { await teardown.waitUntilBegun() }
        #else
        await teardown.waitUntilBegun()
        #endif
    }
}

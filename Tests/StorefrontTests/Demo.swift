#if CommandLineSupport
import TestSupport
import Testing

/// Runs `token-broker demo` and a browser.
/// - Parameter body: Receives the browser and the address of the demo's page.
func withDemo(
    lifetime: String = "60s", _ body: (Browser, _ address: String) async throws -> Void
) async throws {
    let demo = try RunningProgram.tokenBroker(["demo", "--port", "0", "--checkout-token-lifetime", lifetime])
    let authority = try await demo.authority(inLine: "Open http")
    try await withBrowser(beside: demo) { try await body($0, "http://\(authority)/") }
}

/// Runs a browser while a program runs, and ends both even if `body` throws.
func withBrowser(
    _ arguments: [String] = [], beside program: RunningProgram, _ body: (Browser) async throws -> Void
) async throws {
    let browser = try await Browser.start(arguments)
    do {
        try await body(browser)
    } catch {
        await browser.stop()
        await program.terminate()
        throw error
    }
    await browser.stop()
    #expect(await program.terminate() == 0)
}
#endif

#if CommandLineSupport
import CurlTransport
import Foundation
import HTTPTypes
import TestSupport
import TokenBroker

/// A headless Chromium, driven through the WebDriver protocol.
struct Browser: Sendable {
    private let driver: RunningProgram
    private let transport: CurlTransport
    private let authority: String
    private let session: String

    static func start() async throws -> Browser {
        let driver: RunningProgram
        do {
            driver = try RunningProgram("/usr/bin/chromedriver", ["--port=0"])
        } catch {
            throw ToolError(description: "chromedriver is missing; install chromium-driver")
        }
        let line = try await driver.line(containing: "started successfully on port")
        let port = line.split(separator: " ").last.map { $0.filter(\.isNumber) } ?? ""
        let transport = try CurlTransport(configuration: .init(timeout: .seconds(60)))
        let arguments = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        let options: JSONValue = ["args": .array(arguments.map(JSONValue.string))]
        let capabilities: JSONValue = ["capabilities": ["alwaysMatch": ["goog:chromeOptions": options]]]
        let browser = Browser(driver: driver, transport: transport, authority: "127.0.0.1:\(port)", session: "")
        let answer = try await browser.call("/session", capabilities)
        guard let id = answer["sessionId"]?.string else {
            throw ToolError(description: "no session: \(answer)")
        }
        return Browser(driver: driver, transport: transport, authority: browser.authority, session: "/session/\(id)")
    }

    func stop() async {
        _ = try? await call(session, nil, method: .delete)
        driver.signalToEnd()
        await transport.shutdown()
    }

    func open(_ address: String) async throws { _ = try await call("\(session)/url", ["url": .string(address)]) }

    /// Runs the body of an async function in the page, and returns what it returns.
    func run(_ script: String, within seconds: Int = 30) async throws -> JSONValue {
        _ = try await call("\(session)/timeouts", ["script": .number(Double(seconds * 1000))])
        let wrapped = """
            const done = arguments[arguments.length - 1];
            (async () => { \(script) })().then(value => done({ value }), error => done({ error: String(error) }));
            """
        let answer = try await call("\(session)/execute/async", ["script": .string(wrapped), "args": .array([])])
        if let error = answer["error"]?.string { throw ToolError(description: "in the page: \(error)") }
        return answer["value"] ?? .null
    }

    /// Waits in the page until an expression is true.
    func wait(until expression: String, within seconds: Int = 30) async throws {
        _ = try await run(
            """
            const end = Date.now() + \(seconds - 1) * 1000;
            while (!(\(expression))) {
                if (Date.now() > end) throw new Error(`never: \(expression.replacing("`", with: "'")); the page says: ${document.body.innerText}`);
                await new Promise(resume => setTimeout(resume, 50));
            }
            """,
            within: seconds
        )
    }

    func screenshot() async throws -> Data {
        let answer = try await call("\(session)/screenshot", nil, method: .get)
        return Data(base64Encoded: answer.string?.unicode ?? "") ?? Data()
    }

    private func call(_ path: String, _ body: JSONValue?, method: HTTPRequest.Method = .post) async throws -> JSONValue
    {
        let request = HTTPRequest(
            method: method, scheme: "http", authority: authority, path: path,
            headerFields: [.contentType: "application/json"]
        )
        let bytes = body?.serialized ?? []
        let options = TransportOptions(deadline: .seconds(60), maximumResponseBytes: 10 << 20)
        let response = try await transport.send(request, body: bytes, options: options)
        let answer = try JSONValue.parse(response.body)["value"] ?? .null
        guard response.status == .ok else { throw ToolError(description: "WebDriver: \(answer)") }
        return answer
    }
}
#endif

#if CommandLineSupport
import CurlTransport
import Foundation
import HTTPTypes
import TestSupport
import TokenBroker

/// A headless Chromium that is driven through the WebDriver protocol.
struct Browser: Sendable {
    private let driver: RunningProgram
    private let transport: CurlTransport
    private let authority: String
    private let session: String

    /// - Parameter arguments: Arguments for Chromium, in addition to those that make it headless.
    static func start(_ arguments: [String] = []) async throws -> Browser {
        let (driver, port) = try await startDriver()
        let transport = try CurlTransport(configuration: .init(timeout: .seconds(60)))
        let arguments =
            ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"] + arguments
        let options: JSONValue = ["args": .array(arguments.map(JSONValue.string))]
        let capabilities: JSONValue = ["capabilities": ["alwaysMatch": ["goog:chromeOptions": options]]]
        let browser = Browser(driver: driver, transport: transport, authority: "127.0.0.1:\(port)", session: "")
        guard let answer = try? await browser.call("/session", capabilities), let id = answer["sessionId"]?.string
        else {
            await driver.terminate()
            throw ToolError(description: "no session: \(driver.output)")
        }
        return Browser(driver: driver, transport: transport, authority: browser.authority, session: "/session/\(id)")
    }

    /// Starts chromedriver, again if it fails.
    ///
    /// Chromedriver binds a free port for IPv6 and then the same port for IPv4. If another program has taken that one
    /// by then, chromedriver exits.
    private static func startDriver() async throws -> (driver: RunningProgram, port: String) {
        var tries = 5
        while true {
            let driver: RunningProgram
            do {
                driver = try RunningProgram("/usr/bin/chromedriver", ["--port=0"])
            } catch {
                throw ToolError(description: "chromedriver is missing; install chromium-driver")
            }
            do {
                let line = try await driver.line(containing: "started successfully on port")
                return (driver, line.split(separator: " ").last.map { $0.filter(\.isNumber) } ?? "")
            } catch {
                await driver.terminate()
                tries -= 1
                guard tries > 0, driver.output.contains("port not available") else { throw error }
            }
        }
    }

    func stop() async {
        _ = try? await call(session, nil, method: .delete)
        await driver.terminate()
        await transport.shutdown()
    }

    func open(_ address: String) async throws { _ = try await call("\(session)/url", ["url": .string(address)]) }

    /// Runs the body of an async function in the page, and returns its result.
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

    /// Sends a command of the DevTools protocol to the current window.
    @discardableResult
    func devTools(_ command: String, _ parameters: JSONValue = [:]) async throws -> JSONValue {
        try await call("\(session)/goog/cdp/execute", ["cmd": .string(command), "params": parameters])
    }

    /// Runs a script in each page that is opened from now on, before the page's own.
    func prepareEachPage(with script: String) async throws {
        try await devTools("Page.addScriptToEvaluateOnNewDocument", ["source": .string(script)])
    }

    static let enter = "\u{e007}"

    /// Presses and releases a key on the focused element.
    func press(_ key: String) async throws {
        let strokes = ["keyDown", "keyUp"].map { type -> JSONValue in ["type": .string(type), "value": .string(key)] }
        let keyboard: JSONValue = ["type": "key", "id": "keyboard", "actions": .array(strokes)]
        _ = try await call("\(session)/actions", ["actions": .array([keyboard])])
    }

    /// The names of the cookies that are sent to the current page's address, including those that no script can read.
    func cookieNames() async throws -> [String] {
        let cookies = try await call("\(session)/cookie", nil, method: .get)
        guard case .array(let all) = cookies else { throw ToolError(description: "no cookies: \(cookies)") }
        return all.compactMap { $0["name"]?.string?.unicode }.sorted()
    }

    func deleteCookies() async throws { _ = try await call("\(session)/cookie", nil, method: .delete) }

    /// The current window, for ``switchTo(_:)``.
    func window() async throws -> JSONValue { try await call("\(session)/window", nil, method: .get) }

    func openWindow() async throws -> JSONValue {
        let answer = try await call("\(session)/window/new", ["type": "tab"])
        return answer["handle"] ?? .null
    }

    func switchTo(_ window: JSONValue) async throws { _ = try await call("\(session)/window", ["handle": window]) }

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
        let options = TransportOptions(timeout: .seconds(60), maximumResponseBytes: 10 << 20)
        let response = try await transport.send(request, body: bytes, options: options)
        let answer = try JSONValue.parse(response.body)["value"] ?? .null
        guard response.status == .ok else { throw ToolError(description: "WebDriver: \(answer)") }
        return answer
    }
}
#endif

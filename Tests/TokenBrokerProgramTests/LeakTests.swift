#if CommandLineSupport
import CurlTransport
import Foundation
import HTTPTypes
import Synchronization
import TestSupport
import Testing
import TokenBroker
import TokenBrokerTesting

/// Tests that search the program's most verbose output and its responses for secrets, with secrets everywhere that they
/// can be.
struct ProgramLeakTests {
    private static let id = "sentinel-id-4711", secret = "sentinel-secret-4711"
    private static let shared = "sentinel-shared-secret-4711-long-enough-for-a-key"
    private static let auditKey = "sentinel-audit-key-4711"
    private static let environment = [
        "ALTERNATIVE_CLIENT_ID": id, "ALTERNATIVE_CLIENT_SECRET": secret, "SHARED": shared, "AUDIT_KEY": auditKey,
        "SHORT": "sentinel",
    ]
    private let transport: CurlTransport

    init() throws { transport = try CurlTransport() }

    @Test(arguments: ["text", "json"]) func `the program never prints a secret`(format: String) async throws {
        let scripted = try ScriptedVendor()
        defer { scripted.stop() }
        let vendor = "http://127.0.0.1:\(scripted.port)"
        let open = "access: {mode: open}"
        var printed = ""

        // Every vendor response at step 2. The refusal of our credentials comes last, since the broker remembers it.
        printed += try await serve(vendor, open, format) { authority, printed in
            for (index, answer) in Self.answers.enumerated() {
                scripted.script { $0 == "/oauth/token" ? nil : answer }
                let response = try await post(authority, invoice: "inv_\(index)")
                #expect([422, 500, 503].contains(response.status.code))
                printed += text(of: response)
            }
        }
        // Every vendor response at step 1, which is called once. Each log format tests half of them.
        for (index, answer) in Self.answers.enumerated() where (index % 2 == 0) == (format == "text") {
            printed += try await serve(vendor, open, format) { authority, printed in
                scripted.script { _ in answer }
                let response = try await post(authority, invoice: "inv_1")
                #expect([500, 503].contains(response.status.code))
                printed += text(of: response) + text(of: try await send(authority, "/readyz"))
            }
        }
        // Successful responses, with every kind of proof.
        scripted.script { _ in nil }
        let policy = "policy: {kind: claim, customer: customer, invoice: invoice}"
        let jwt = "jwt, issuer: a, audience: b, algorithms: [HS256], secretVariable: SHARED, cookie: session"
        let token = try await signed(
            #"{"iss": "a", "aud": "b", "exp": 4102444800, "sub": "sentinel", "customer": "cus_1", "invoice": "inv_1"}"#
        )
        let headers = "subjectHeader: X-User, claims: {customer: X-Customer, invoice: X-Invoice}"
        for (access, fields) in [
            (open, [:]), ("access: {authenticator: {kind: \(jwt)}, \(policy)}", ["Authorization": "Bearer \(token)"]),
            ("access: {authenticator: {kind: \(jwt)}, \(policy)}", ["Cookie": "session=\(token)"]),
            (
                "access: {authenticator: {kind: forwarded, \(headers), secretVariable: SHARED}, \(policy)}",
                ["X-User": "sentinel", "X-Customer": "cus_1", "X-Invoice": "inv_1", "X-Proxy-Secret": Self.shared]
            ),
        ] {
            printed += try await serve(vendor, access, format) { authority, printed in
                let own = fields.merging(["Origin": "http://\(authority)"]) { first, _ in first }
                #expect(try await post(authority, invoice: "inv_1", fields: own).status == .ok)
                for (name, value) in [
                    ("Authorization", "Bearer \(token)x"), ("Authorization", "Basic \(Self.secret)"),
                    ("Cookie", "session=\(token)x; \(Self.secret)"), ("X-Proxy-Secret", "sentinel"),
                    ("X-Forwarded-For", "sentinel"), ("Origin", "https://evil.example/sentinel"),
                    ("Content-Type", "sentinel/sentinel"),
                ] {
                    let response = try await post(
                        authority, invoice: "inv_1", fields: own.merging([name: value]) { $1 }
                    )
                    // A successful response is supposed to contain the token.
                    if response.status != .ok { printed += text(of: response) }
                }
                for (method, path, body) in [
                    (HTTPRequest.Method.put, "/api/checkout-token", ""),
                    (.post, "/api/checkout-token", "{\"a\": \(Self.secret)}"),
                    (.post, "/api/checkout-token", String(repeating: Self.secret, count: 10_000)),
                    (.get, "/readyz", ""), (.get, "/\(Self.secret)?\(Self.secret)", ""),
                ] {
                    printed += text(of: try await send(authority, path, method: method, fields: own, body))
                }
            }
        }
        printed += try await otherCommands(vendor, format)
        // The output really is the program's log, with the audit's events.
        #expect(printed.contains("checkout token refused"))
        check(printed)
    }

    private func otherCommands(_ vendor: String, _ format: String) async throws -> String {
        let logging = ["--log-level", "trace", "--log-format", format]
        let sandbox = try RunningProgram.tokenBroker(
            [
                "sandbox", "--port", "0", "--requests-per-second", "0", "--client-id", Self.id, "--client-secret",
                Self.secret,
            ]
                + logging
        )
        let authority = try await sandbox.authority(inLine: "sandbox listens on")
        var printed = ""
        for (vendor, expected) in [("http://\(authority)", 0), (vendor, 0), ("http://127.0.0.1:1", 69)]
            as [(String, Int32)]
        {
            let file = try configuration(vendor, "access: {mode: open}")
            let check = try RunningProgram.tokenBroker(
                ["check", "--live", "--config", file] + logging, environment: Self.environment
            )
            #expect(await check.exitCode() == expected)
            printed += check.output
        }
        // A secret in the wrong place. Where an id is expected, the error shows only text that looks like an id.
        let file = try configuration(
            vendor, "access: {mode: open}\ncredentials: {sources: [\(Self.secret)+=], client_secret: \(Self.secret)}")
        let check = try RunningProgram.tokenBroker(
            ["check", "--config", file] + logging, environment: Self.environment)
        #expect(await check.exitCode() == 78)
        printed += check.output
        // An audit key that is too short, and one in place of its variable's name.
        for variable in ["SHORT", "sentinel-key"] {
            let file = try configuration(vendor, "access: {mode: open}", auditVariable: variable)
            let check = try RunningProgram.tokenBroker(
                ["check", "--config", file] + logging, environment: Self.environment
            )
            #expect(await check.exitCode() == 78)
            printed += check.output
        }
        await sandbox.terminate()
        return printed + sandbox.output
    }

    private func check(_ printed: String) {
        for line in printed.split(separator: "\n") where line.contains("sentinel") || line.contains("eyJ") {
            Issue.record("printed: \(line)")
        }
        #expect(!printed.contains(Data("\(Self.id):\(Self.secret)".utf8).base64EncodedString()))
        // No part of a token appears either; all tokens begin like this.
        #expect(!printed.contains("eyJ"))
    }

    // MARK: The vendor

    /// The whole responses that a vendor may send instead of a token.
    private static let answers: [String] = {
        let problem = #"{"code": "sentinel", "message": "sentinel", "error": "sentinel", "errors": ["sentinel"]}"#
        return [
            response("400 sentinel", problem), response("422 sentinel", problem), response("404 sentinel", problem),
            response("200 OK", #"{"error": "sentinel", "access_token": "", "token": ""}"#),
            response("200 OK", "<html>sentinel</html>", "Content-Type: text/html"),
            response("200 OK", #"{"token": "eyJzZW50aW5lbA.eyJzZW50aW5lbA.sentinel", "access_token": 1}"#),
            response("302 Found", "", "Location: https://sentinel.example/sentinel"),
            response("429 sentinel", problem, "Retry-After: sentinel"), response("503 sentinel", "sentinel"),
            "sentinel sentinel\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: sentinel\r\n\r\n", "",
            response("401 sentinel", problem, "WWW-Authenticate: Bearer error=\"sentinel\""),
            response("403 sentinel", problem),
        ]
    }()

    private static func response(_ status: String, _ body: String, _ field: String = "X-Sentinel: sentinel") -> String {
        "HTTP/1.1 \(status)\r\n\(field)\r\nSet-Cookie: a=sentinel\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    /// A vendor that sends scripted responses, and tokens otherwise.
    private final class ScriptedVendor: Sendable {
        private let server: RawServer
        private let current: Box
        var port: Int { server.port }

        init() throws {
            let current = Box()
            self.current = current
            server = try RawServer { connection in
                while let request = connection.readRequest() {
                    let path = request.split(separator: " ").dropFirst().first.map(String.init) ?? ""
                    let scripted = current.answer.withLock { $0(path) }
                    guard connection.send(scripted ?? Self.good(path, request)), scripted != "" else { return }
                }
            }
        }

        /// Sets the script.
        /// - Parameter answer: Returns the response for a path, or `nil` for a token.
        func script(_ answer: @escaping @Sendable (String) -> String?) { current.answer.withLock { $0 = answer } }
        func stop() { server.stop() }

        private final class Box: Sendable {
            let answer = Mutex<@Sendable (String) -> String?>({ _ in nil })
        }

        private static func good(_ path: String, _ request: String) -> String {
            guard path != "/oauth/token" else {
                return ProgramLeakTests.response("200 OK", #"{"access_token": "sentinel-access", "expires_in": 3600}"#)
            }
            let claims = #"{"customer_id": "cus_1", "invoice_id": "inv_1", "exp": 4102444800, "note": "sentinel"}"#
            return ProgramLeakTests.response(
                "200 OK", #"{"token": "eyJ9.\#(ProgramLeakTests.base64URL(Data(claims.utf8))).sentinel"}"#)
        }
    }

    // MARK: The program

    private func configuration(
        _ vendor: String, _ access: String, auditVariable: String = "AUDIT_KEY"
    ) throws -> String {
        let path = FileManager.default.temporaryDirectory.appending(path: "broker-\(UUID().uuidString).yaml").path
        let text = """
            server: {port: 0}
            vendor: {environment: sandbox, baseURL: "\(vendor)"}
            tokens: {requestsPerSecond: 1000000}
            audit: {keyVariable: \(auditVariable)}
            \(access)
            """
        try Data(text.utf8).write(to: URL(filePath: path))
        return path
    }

    private func serve(
        _ vendor: String, _ access: String, _ format: String,
        _ ask: (_ authority: String, _ printed: inout String) async throws -> Void
    ) async throws -> String {
        let file = try configuration(vendor, access)
        let server = try RunningProgram.tokenBroker(
            ["serve", "--config", file, "--log-level", "trace", "--log-format", format], environment: Self.environment
        )
        let authority = try await server.authority(inLine: "token-broker listens on")
        var printed = ""
        try await ask(authority, &printed)
        #expect(await server.terminate() == 0)
        return printed + server.output
    }

    private func send(
        _ authority: String, _ path: String, method: HTTPRequest.Method = .get, fields: [String: String] = [:],
        _ body: String = ""
    ) async throws -> TransportResponse {
        var request = HTTPRequest(method: method, scheme: "http", authority: authority, path: path)
        if method == .post { request.headerFields[.contentType] = "application/json" }
        for (name, value) in fields { if let name = HTTPField.Name(name) { request.headerFields[name] = value } }
        return try await transport.send(request, body: Array(body.utf8), options: .init(timeout: .seconds(20)))
    }

    private func post(
        _ authority: String, invoice: String, fields: [String: String] = [:]
    ) async throws -> TransportResponse {
        let body = #"{"customerId": "cus_1", "invoiceId": "\#(invoice)"}"#
        return try await send(authority, "/api/checkout-token", method: .post, fields: fields, body)
    }

    private func text(of response: TransportResponse) -> String {
        response.headerFields.map { "\($0)\n" }.joined() + String(decoding: response.body, as: UTF8.self) + "\n"
    }

    /// Returns a token that openssl signs with the shared secret.
    private func signed(_ claims: String) async throws -> String {
        let unsigned = Self.base64URL(Data(#"{"alg": "HS256"}"#.utf8)) + "." + Self.base64URL(Data(claims.utf8))
        let path = FileManager.default.temporaryDirectory.appending(path: "token-\(UUID().uuidString)").path
        try Data(unsigned.utf8).write(to: URL(filePath: path))
        let openssl = try RunningProgram("/usr/bin/openssl", ["dgst", "-sha256", "-hmac", Self.shared, "-r", path])
        #expect(await openssl.exitCode() == 0)
        let digits = Array(openssl.output.prefix { $0.isHexDigit }.utf8)
        let signature = stride(from: 0, to: digits.count - 1, by: 2).compactMap { index in
            UInt8(String(decoding: digits[index...(index + 1)], as: UTF8.self), radix: 16)
        }
        return unsigned + "." + Self.base64URL(Data(signature))
    }

    private static func base64URL(_ data: Data) -> String {
        data.base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }
}
#endif

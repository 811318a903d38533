#if JWTSupport
import Foundation
import HTTPTypes
import Synchronization
import Testing
import TokenBroker
import TokenBrokerSandbox

/// A wall clock that the test sets.
private final class Wall: Sendable {
    private let date = Mutex(Date(timeIntervalSince1970: 1_800_000_000))
    var now: Date { date.withLock { $0 } }
    func advance(by seconds: Double) { date.withLock { $0 += seconds } }
}

struct SandboxTests {
    private let wall = Wall()

    private func sandbox(_ configuration: Sandbox.Configuration = .init(requestsPerSecond: 0)) async -> Sandbox {
        await Sandbox(configuration: configuration) { [wall] in wall.now }
    }

    private func call(
        _ sandbox: Sandbox, _ method: HTTPRequest.Method, _ path: String, _ authorization: String? = nil,
        _ body: String = ""
    ) async throws -> (status: Int, body: JSONValue) {
        var head = HTTPRequest(method: method, scheme: "http", authority: "a", path: path)
        head.headerFields[.authorization] = authorization
        let response = try #require(
            await sandbox.endpoints.respond(to: EndpointRequest(head: head, body: EndpointBody(Array(body.utf8))))
        )
        return (
            response.head.status.code, (try? JSONValue.parse(response.body)) ?? .null
        )
    }

    private func accessToken(_ sandbox: Sandbox) async throws -> String {
        let basic = "Basic " + Data("sandbox-client:sandbox-secret".utf8).base64EncodedString()
        let answer = try await call(sandbox, .post, "/oauth/token", basic, "grant_type=client_credentials")
        #expect(answer.status == 200)
        #expect(answer.body["token_type"] == "bearer")
        return "Bearer \(try #require(answer.body["access_token"]?.string))"
    }

    private func initialize(
        _ sandbox: Sandbox, _ access: String?, _ body: String = #"{"customer_id": "cus_demo", "invoice_id": "inv_1"}"#,
        path: String = "/checkout-auth/init"
    ) async throws -> (status: Int, body: JSONValue) {
        try await call(sandbox, .post, path, access, body)
    }

    @Test func `the sandbox answers wrong client credentials with 403`() async throws {
        let sandbox = await sandbox()
        for field in [nil, "Basic", "Basic !!", "Basic " + Data("a:b".utf8).base64EncodedString(), "Bearer x"] {
            #expect(
                try await call(sandbox, .post, "/oauth/token", field, "grant_type=client_credentials").status == 403)
        }
    }

    @Test func `an invoice is paid once, by its own session, and stays paid`() async throws {
        let sandbox = await sandbox()
        let access = try await accessToken(sandbox)
        let token = try #require(try await initialize(sandbox, access).body["token"]?.string)
        let other = try #require(
            try await initialize(sandbox, access, #"{"customer_id": "cus_demo", "invoice_id": "inv_2"}"#).body["token"]?
                .string)
        #expect(try await call(sandbox, .post, "/checkout/v1/payments").status == 401)
        #expect(try await call(sandbox, .post, "/checkout/v1/payments", "Bearer \(token)x").status == 401)
        #expect(try await call(sandbox, .get, "/checkout/v1/invoice", "Bearer \(token)").body["status"] == "open")

        let paid = try await call(sandbox, .post, "/checkout/v1/payments", "Bearer \(token)")
        #expect(paid.status == 200)
        #expect(paid.body["status"] == "paid")
        #expect(try await call(sandbox, .post, "/checkout/v1/payments", "Bearer \(token)").status == 409)
        #expect(try await call(sandbox, .get, "/checkout/v1/invoice", "Bearer \(token)").body["status"] == "paid")
        #expect(try await call(sandbox, .get, "/invoices/inv_1", access).body["status"] == "paid")
        #expect(try await call(sandbox, .get, "/checkout/v1/invoice", "Bearer \(other)").body["status"] == "open")
    }

    @Test(arguments: [("inv_1001", "INV-1001"), ("oth_2001", "OTH-2001"), ("inv_a_b", "INV-A-B")])
    func `an invoice's number matches its id, and its lines add up`(id: String, number: String) async throws {
        let sandbox = await sandbox()
        let invoice = try await call(sandbox, .get, "/invoices/\(id)", accessToken(sandbox)).body
        #expect(invoice["invoice_number"] == .string(number))
        func cents(_ value: JSONValue?) -> Int { Int(((value?.number ?? 0) * 100).rounded()) }
        guard case .array(let lines) = invoice["line_items"] else {
            Issue.record("no lines")
            return
        }
        #expect(!lines.isEmpty)
        for line in lines {
            #expect(cents(line["quantity"]) * cents(line["unit_price"]) == cents(line["amount"]) * 100)
        }
        #expect(lines.map { cents($0["amount"]) }.reduce(0, +) == cents(invoice["sub_total"]))
        #expect(cents(invoice["total"]) > cents(invoice["sub_total"]))
    }

    @Test func `a session gets a signed token that opens its invoice until it expires`() async throws {
        let sandbox = await sandbox()
        let answer = try await initialize(sandbox, try await accessToken(sandbox), path: "/v1/checkout-auth/init")
        #expect(answer.status == 200)
        let token = try #require(answer.body["token"]?.string)
        let claims = try #require(UnverifiedJWT(token.unicode)).claims
        for name in ["partner_id", "client_id", "customer_id", "invoice_id", "exp"] { #expect(claims[name] != nil) }
        let invoice = try await call(sandbox, .get, "/checkout/v1/invoice", "Bearer \(token)")
        #expect(invoice.status == 200)
        #expect(invoice.body["id"] == "inv_1")
        #expect(try await call(sandbox, .get, "/checkout/v1/invoice", "Bearer \(token)x").status == 401)
        wall.advance(by: 901)
        #expect(try await call(sandbox, .get, "/checkout/v1/invoice", "Bearer \(token)").status == 401)
    }

    @Test func `the sandbox returns the documented errors`() async throws {
        let sandbox = await sandbox()
        let access = try await accessToken(sandbox)
        for (body, status) in [
            ("{", 400), ("{}", 400), (#"{"customer_id": "cus_demo"}"#, 400),
            (#"{"customer_id": "x", "invoice_id": "inv_1"}"#, 404),
            (#"{"customer_id": "cus_demo", "invoice_id": "x"}"#, 404),
            (#"{"customer_id": "cus_demo", "invoice_id": "oth_1"}"#, 422),
        ] {
            let answer = try await initialize(sandbox, access, body)
            #expect(answer.status == status, "\(body)")
            #expect(answer.body["code"]?.string != nil)
            #expect(answer.body["message"]?.string != nil)
        }
        #expect(try await initialize(sandbox, nil).status == 401)
        wall.advance(by: 3601)
        #expect(try await initialize(sandbox, access).status == 401)
    }

    @Test func `reading the sandbox's invoices and customers requires the access token`() async throws {
        let sandbox = await sandbox()
        let access = try await accessToken(sandbox)
        #expect(try await call(sandbox, .get, "/invoices/oth_1", access).body["customer_id"] == "cus_other")
        #expect(try await call(sandbox, .get, "/customers/cus_demo", access).status == 200)
        #expect(try await call(sandbox, .get, "/customers/x", access).status == 404)
        #expect(try await call(sandbox, .get, "/invoices/inv_1").status == 401)
    }

    @Test func `a sandbox without v1 answers that path with 404`() async throws {
        let sandbox = await sandbox(.init(requestsPerSecond: 0, servesV1: false))
        let access = try await accessToken(sandbox)
        let answer = try await initialize(sandbox, access, path: "/v1/checkout-auth/init")
        #expect(answer.status == 404)
        #expect(answer.body == .null)
        #expect(try await initialize(sandbox, access).status == 200)
    }

    @Test func `the sandbox enforces its limit in any second and counts calls`() async throws {
        let sandbox = await sandbox(.init(requestsPerSecond: 5))
        let access = try await accessToken(sandbox)
        for _ in 0..<4 { #expect(try await initialize(sandbox, access).status == 200) }
        wall.advance(by: 0.9)
        for _ in 0..<3 { #expect(try await initialize(sandbox, access).status == 429) }
        wall.advance(by: 0.1)
        #expect(try await initialize(sandbox, access).status == 200)
        let calls = try await call(sandbox, .get, "/_sandbox/calls").body
        #expect(calls["total"] == .number(9))
        #expect(calls["throttled"] == .number(3))
        #expect(calls["calls"]?["POST /oauth/token"] == .number(1))
    }

    @Test func `the sandbox can be told to ask for a pause`() async throws {
        let sandbox = await sandbox()
        let access = try await accessToken(sandbox)
        #expect(try await call(sandbox, .post, "/_sandbox/throttle", nil, #"{"seconds": 3}"#).status == 204)
        #expect(try await initialize(sandbox, access).status == 429)
        let head = HTTPRequest(method: .get, scheme: "http", authority: "a", path: "/customers/cus_demo")
        let response = await sandbox.endpoints.respond(to: EndpointRequest(head: head, body: EndpointBody([])))
        #expect(response?.head.headerFields[.retryAfter] == "3")
        wall.advance(by: 3)
        #expect(try await initialize(sandbox, access).status == 200)
        #expect(try await call(sandbox, .get, "/_sandbox/calls").body["throttled"] == .number(2))
    }

    @Test func `the sandbox can be told to revoke its access tokens`() async throws {
        let sandbox = await sandbox()
        let access = try await accessToken(sandbox)
        #expect(try await call(sandbox, .post, "/_sandbox/revoke").status == 204)
        #expect(try await initialize(sandbox, access).status == 401)
        #expect(try await initialize(sandbox, accessToken(sandbox)).status == 200)
    }

    @Test(arguments: ["", "{}", "[]", #"{"seconds": -1}"#, #"{"seconds": "3"}"#, #"{"seconds": 3601}"#])
    func `the sandbox refuses a pause that makes no sense`(body: String) async throws {
        let sandbox = await sandbox()
        #expect(try await call(sandbox, .post, "/_sandbox/throttle", nil, body).status == 400)
        #expect(try await call(sandbox, .get, "/_sandbox/throttle").status == 405)
        let access = try await accessToken(sandbox)
        #expect(try await initialize(sandbox, access).status == 200)
    }
}
#endif

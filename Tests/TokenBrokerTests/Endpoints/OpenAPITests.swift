import Foundation
import HTTPTypes
import Logging
import Testing
import TokenBrokerTesting
@testable import TokenBroker

/// Tests that `openapi.json` agrees with the code.
struct OpenAPITests {
    private func document(_ endpoint: OpenAPIEndpoint = OpenAPIEndpoint()) async throws -> JSONValue {
        let answer = await endpoint.respond(to: EndpointRequest(head: get(endpoint.path.description)))
        #expect(answer.head.status == .ok)
        #expect(answer.head.headerFields[.contentType] == "application/json")
        return try JSONValue.parse(answer.body)
    }

    private func get(_ path: String, method: HTTPRequest.Method = .get) -> HTTPRequest {
        HTTPRequest(method: method, scheme: "https", authority: "pay.example", path: path)
    }

    /// Returns the value that a `$ref` points to.
    private func resolved(_ value: JSONValue?, in document: JSONValue) throws -> JSONValue {
        let value = try #require(value)
        guard let reference = value["$ref"]?.string?.unicode else { return value }
        return try reference.split(separator: "/").dropFirst().reduce(document) { try #require($0[String($1)]) }
    }

    private func responses(in document: JSONValue) throws -> [Int: JSONValue] {
        guard case .object(let members)? = document["paths"]?["/api/checkout-token"]?["post"]?["responses"] else {
            throw JSONError.malformed
        }
        var responses: [Int: JSONValue] = [:]
        for (status, response) in members {
            responses[try #require(Int(status.unicode))] = try resolved(response, in: document)
        }
        return responses
    }

    @Test func `every code is documented with its status, and no other is`() async throws {
        var documented: [String: Int] = [:]
        for (status, response) in try responses(in: try await document()) where status != 200 {
            let properties = response["content"]?["application/problem+json"]?["schema"]?["properties"]
            #expect(properties?["status"]?["const"] == .number(Double(status)))
            guard case .array(let codes)? = properties?["code"]?["enum"] else { throw JSONError.malformed }
            for code in codes {
                #expect(documented.updateValue(status, forKey: try #require(code.string).unicode) == nil)
            }
        }
        #expect(
            documented == Dictionary(uniqueKeysWithValues: Problem.Code.allCases.map { ($0.rawValue, $0.status.code) }))
    }

    @Test func `every field and member of a problem is documented`() async throws {
        let document = try await document()
        let responses = try responses(in: document)
        let problems: [Problem] = [
            .invalidRequest("detail"), .unauthenticated(challenge: "Bearer"), .forbidden, .accessUnavailable,
            .methodNotAllowed("POST"), .tooSlow, .tooLarge,
            .unsupportedMediaType, .sessionRejected, .tooManyRequests(retryAfter: .seconds(1)),
            .misconfigured(incident: "1"),
            .vendorBusy(retryAfter: nil), .vendorUnavailable(retryAfter: nil),
        ]
        #expect(Set(problems.map(\.code)) == Set(Problem.Code.allCases))
        for problem in problems {
            let answer = problem.response
            let response = try #require(responses[answer.head.status.code])
            guard case .object(let fields)? = response["headers"] else { throw JSONError.malformed }
            for (name, field) in fields where try resolved(field, in: document)["required"] == .bool(true) {
                // The endpoint adds these to every response.
                if ["Cache-Control", "Vary", "X-Content-Type-Options", "X-Request-ID"].contains(name.unicode) {
                    continue
                }
                #expect(answer.head.headerFields[try #require(.init(name.unicode))] != nil, "\(problem.code): \(name)")
            }
            let known = Set(fields.keys.map { $0.unicode.lowercased() }).union(["content-type"])
            for field in answer.head.headerFields {
                #expect(known.contains(field.name.canonicalName), "\(problem.code): \(field.name)")
            }
            guard case .object(let members) = try JSONValue.parse(answer.body),
                case .object(let properties)? = document["components"]?["schemas"]?["Problem"]?["properties"]
            else { throw JSONError.malformed }
            for name in members.keys { #expect(properties[name] != nil, "\(problem.code): \(name)") }
        }
    }

    @Test func `every header field of an answer is documented`() async throws {
        let document = try await document()
        let endpoint = CheckoutTokenEndpoint(
            tokens: ScriptedTokenProvider(otherwise: .token("a.b.c", remaining: .seconds(60))),
            authenticator: ClosureAuthenticator { _ in Principal(subject: "me") },
            policy: ClosurePolicy(binds: .session) { _, _ in true },
            configuration: .init(environment: "demo", allowedOrigins: ["https://shop.example"]), clock: ManualClock(),
            logger: Logger(label: "t") { _ in SwiftLogNoOpLogHandler() })
        for (method, operation) in [(HTTPRequest.Method.post, "post"), (.options, "options")] {
            var head = get("/api/checkout-token", method: method)
            head.headerFields = [.origin: "https://shop.example", .contentType: "application/json"]
            let body = Array(#"{"customerId": "cus_1", "invoiceId": "inv_1"}"#.utf8)
            let answer = await endpoint.respond(to: EndpointRequest(head: head, body: EndpointBody(body)))
            let responses = document["paths"]?["/api/checkout-token"]?[operation]?["responses"]
            guard case .object(let fields)? = responses?["\(answer.head.status.code)"]?["headers"] else {
                throw JSONError.malformed
            }
            let known = Set(fields.keys.map { $0.unicode.lowercased() })
            let sent = Set(answer.head.headerFields.map(\.name.canonicalName)).subtracting(["content-type"])
            #expect(sent == known, "\(operation)")
        }
    }

    @Test func `every reference in the OpenAPI document resolves, and every component is used`() async throws {
        let document = try await document()
        var used: Set<String> = []
        func walk(_ value: JSONValue) throws {
            switch value {
            case .object(let members):
                if let reference = members["$ref"]?.string?.unicode {
                    _ = try resolved(value, in: document)
                    used.insert(reference)
                }
                for member in members.values { try walk(member) }
            case .array(let elements): for element in elements { try walk(element) }
            default: break
            }
        }
        try walk(document)
        guard case .object(let kinds)? = document["components"] else { throw JSONError.malformed }
        for (kind, components) in kinds where kind != "securitySchemes" {
            guard case .object(let members) = components else { throw JSONError.malformed }
            for name in members.keys { #expect(used.contains("#/components/\(kind)/\(name)"), "\(kind)/\(name)") }
        }
    }

    @Test func `the OpenAPI document describes the server's own paths`() async throws {
        let document = try await document(
            OpenAPIEndpoint(path: "/api", checkoutToken: "/pay/token", live: "/alive", ready: nil)
        )
        guard case .object(let paths)? = document["paths"] else { throw JSONError.malformed }
        #expect(Set(paths.keys) == ["/pay/token", "/alive"])
        let answer = await OpenAPIEndpoint().respond(to: EndpointRequest(head: get("/openapi.json", method: .post)))
        #expect(answer.head.status == .methodNotAllowed)
        #expect(answer.head.headerFields[.allow] == "GET, HEAD")
    }
}

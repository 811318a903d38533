import Foundation
import HTTPTypes
import Testing
import TokenBroker
import TokenBrokerTesting

private let anna: @Sendable (AccessPolicyContract.Session) -> Principal = { session in
    Principal(
        subject: session.customer,
        claims: ["customer": .string(session.customer), "invoices": .array([.string(session.invoice)])])
}

private struct ClaimFixture: AccessPolicyFixture {
    var policy: any AccessPolicy = ClaimPolicy(customer: "customer", invoice: "invoices")

    func withPolicy(
        _ sessions: [AccessPolicyContract.Session],
        _ body: (AccessPolicyContract.Subject) async throws -> Void
    ) async throws {
        try await body(.init(policy, owner: anna))
    }
}

/// A shop's own service.
private struct CallbackFixture: AccessPolicyFixture {
    static let capabilities: AccessPolicyContract.Capabilities = .backend

    func withPolicy(
        _ sessions: [AccessPolicyContract.Session],
        _ body: (AccessPolicyContract.Subject) async throws -> Void
    ) async throws {
        let owned = Set(sessions.map { [ExactString($0.customer), ExactString($0.invoice)] })
        let transport = InMemoryTransport { _, body in
            let asked = try JSONValue.parse(body)
            let session = [asked["customerId"]?.string ?? "", asked["invoiceId"]?.string ?? ""]
            let allows = owned.contains(session) && asked["principal"]?["subject"]?.string == session.first
            return TransportResponse(
                head: HTTPResponse(status: .ok, headerFields: [.contentType: "application/json"]),
                body: Array(#"{"allow": \#(allows)}"#.utf8))
        }
        try await body(.init(try policy(transport).caching(for: .seconds(60)), owner: anna))
    }

    func makeUnreachablePolicy() async throws -> (any AccessPolicy)? {
        try policy(ScriptedTransport([.fail(.connect)]))
    }

    private func policy(_ transport: any HTTPTransport) throws -> CallbackPolicy {
        CallbackPolicy(url: try ServerURL("https://shop.example/may-pay"), transport: transport)
    }
}

/// The vendor's invoice look-up, combined with a claim that names the customer.
private struct VendorInvoiceFixture: AccessPolicyFixture {
    static let capabilities: AccessPolicyContract.Capabilities = .backend

    func withPolicy(
        _ sessions: [AccessPolicyContract.Session],
        _ body: (AccessPolicyContract.Subject) async throws -> Void
    ) async throws {
        let owners = Dictionary(uniqueKeysWithValues: sessions.map { (ExactString($0.invoice), $0.customer) })
        let transport = InMemoryTransport { request, _ in
            let id = request.path?.split(separator: "/").last.flatMap { String($0).removingPercentEncoding } ?? ""
            let json: HTTPFields = [.contentType: "application/json"]
            guard let owner = owners[ExactString(id)] else {
                return TransportResponse(
                    head: HTTPResponse(status: .notFound, headerFields: json),
                    body: Array(#"{"code": "not_found", "message": "no such invoice"}"#.utf8))
            }
            let invoice: JSONValue = ["id": .string(id), "customer_id": .string(owner)]
            return TransportResponse(head: HTTPResponse(status: .ok, headerFields: json), body: invoice.serialized)
        }
        try await body(.init(try policy(transport), owner: anna))
    }

    func makeUnreachablePolicy() async throws -> (any AccessPolicy)? {
        try policy(ScriptedTransport([.fail(.connect)]))
    }

    private func policy(_ transport: any HTTPTransport) throws -> AllOf {
        let vendor = try Vendor(profile: .alternativePayments, baseURL: "https://vendor.example")
        let accessTokens = ScriptedTokenProvider(otherwise: .token("access"))
        let invoices = try #require(
            VendorInvoicePolicy(vendor: vendor, accessTokens: accessTokens, transport: transport))
        return AllOf([ClaimPolicy(customer: "customer"), invoices])
    }
}

struct AccessPolicyContractTests {
    @Test(arguments: AccessPolicyContract.cases(for: ClaimFixture.self))
    func `a claim policy passes the access policy contract`(_ test: AccessPolicyContract.Case) async throws {
        try await test.run(on: ClaimFixture())
    }

    @Test(arguments: AccessPolicyContract.cases(for: ClaimFixture.self))
    func `partial and combined policies pass the access policy contract`(
        _ test: AccessPolicyContract.Case
    ) async throws {
        for policy in [
            ClaimPolicy(customer: "customer"), ClaimPolicy(invoice: "invoices"),
            AllOf([ClaimPolicy(customer: "customer"), ClaimPolicy(invoice: "invoices")]),
            AnyOf([
                ClaimPolicy(customer: "customer", invoice: "invoices"),
                ClosurePolicy(binds: .session) { _, _ in throw AccessRefusal("never") },
            ]),
        ] as [any AccessPolicy] { try await test.run(on: ClaimFixture(policy: policy)) }
    }

    @Test(arguments: AccessPolicyContract.cases(for: CallbackFixture.self))
    func `a cached callback policy passes the access policy contract`(_ test: AccessPolicyContract.Case) async throws {
        try await test.run(on: CallbackFixture())
    }

    @Test(arguments: AccessPolicyContract.cases(for: VendorInvoiceFixture.self))
    func `a vendor invoice policy passes the access policy contract`(_ test: AccessPolicyContract.Case) async throws {
        try await test.run(on: VendorInvoiceFixture())
    }
}

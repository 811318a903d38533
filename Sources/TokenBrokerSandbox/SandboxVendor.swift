#if JWTSupport
import FoundationEssentials
import HTTPTypes
import Synchronization
import TokenBroker

/// The simulated vendor, which handles calls and holds the state.
final class SandboxVendor: Sendable {
    private let configuration: Sandbox.Configuration
    private let keys: CheckoutTokenKeys
    private let now: @Sendable () -> Date
    private let memory = Mutex(Memory())

    private struct Memory {
        var accessTokens: [ExactString: Date] = [:]
        var answeredWithinASecond: [Date] = []
        var paidInvoices: Set<ExactString> = []
        /// The end of the pause that every call is asked for.
        var pauseEnd = Date.distantPast
        var calls = CallCount()
    }

    init(configuration: Sandbox.Configuration, keys: CheckoutTokenKeys, now: @escaping @Sendable () -> Date) {
        self.configuration = configuration
        self.keys = keys
        self.now = now
    }

    func routes() -> [any Endpoint] {
        [
            route(.post, "/oauth/token") { await $0.accessToken($1) },
            route(.post, "/v1/checkout-auth/init") { vendor, request in
                guard vendor.configuration.servesV1 else { return .notThere }
                return await vendor.checkoutToken(request)
            },
            route(.post, "/checkout-auth/init") { await $0.checkoutToken($1) },
            route(.get, "/checkout/v1/invoice") { await $0.invoiceOfSession($1) },
            route(.post, "/checkout/v1/payments") { await $0.payInvoiceOfSession($1) },
            route(.get, "/invoices/{id}") { await $0.invoice($1) },
            route(.get, "/customers/{id}") { await $0.customer($1) },
            CallsRoute(count: { [self] in memory.withLock { $0.calls } }),
            ControlRoute(path: "/_sandbox/throttle") { [self] in throttle($0) },
            ControlRoute(path: "/_sandbox/revoke") { [self] _ in
                memory.withLock { $0.accessTokens = [:] }
                return true
            },
        ]
    }

    private func route(
        _ method: HTTPRequest.Method, _ path: RoutePath,
        answer: @escaping @Sendable (SandboxVendor, EndpointRequest) async -> EndpointResponse
    ) -> any Endpoint {
        VendorRoute(method: method, path: path, now: now) { [self] request in
            let (isAdmitted, pause) = admit("\(method.rawValue) \(path)")
            guard isAdmitted else {
                var response = EndpointResponse.error(.tooManyRequests, "too_many_requests", "rate limit exceeded")
                response.head.headerFields[.retryAfter] = pause.map { "\($0)" }
                return response
            }
            return await answer(self, request)
        }
    }

    /// Refuses all calls for a number of seconds, with a `Retry-After`.
    private func throttle(_ members: JSONValue) -> Bool {
        guard let seconds = members["seconds"]?.number, 0...3600 ~= seconds else { return false }
        let end = now().addingTimeInterval(seconds)
        memory.withLock { $0.pauseEnd = end }
        return true
    }

    /// Counts a call, and returns whether it is within the rate limit, and the seconds to wait if the vendor states
    /// them. A refused call does not use up the limit.
    private func admit(_ name: String) -> (isAdmitted: Bool, retryAfter: Int?) {
        let now = now()
        return memory.withLock { memory in
            memory.calls.total += 1
            memory.calls.byRoute[name, default: 0] += 1
            let pause = memory.pauseEnd.timeIntervalSince(now)
            if pause > 0 {
                memory.calls.throttled += 1
                return (false, Int(pause.rounded(.up)))
            }
            guard configuration.requestsPerSecond > 0 else { return (true, nil) }
            memory.answeredWithinASecond.removeAll { now.timeIntervalSince($0) >= 1 }
            guard memory.answeredWithinASecond.count < configuration.requestsPerSecond else {
                memory.calls.throttled += 1
                return (false, nil)
            }
            memory.answeredWithinASecond.append(now)
            return (true, nil)
        }
    }

    // MARK: Handlers

    private func accessToken(_ request: EndpointRequest) async -> EndpointResponse {
        guard credentialsAreRight(request.head.headerFields[.authorization]) else {
            return .error(.forbidden, "forbidden", "invalid client credentials")
        }
        guard let body = try? await request.body.collect(upTo: 64 << 10),
            String(decoding: body, as: UTF8.self).split(separator: "&").contains("grant_type=client_credentials")
        else {
            return .error(.badRequest, "bad_request", "unsupported grant type")
        }
        let token = randomHex(words: 4)
        let now = now()
        let lifetime = configuration.accessTokenLifetime / .seconds(1)
        memory.withLock { memory in
            memory.accessTokens = memory.accessTokens.filter { $0.value > now }
            memory.accessTokens[ExactString(token)] = now.addingTimeInterval(lifetime)
        }
        return .json([
            "access_token": .string(token), "expires_in": .number(lifetime.rounded(.down)), "token_type": "bearer",
        ])
    }

    private func checkoutToken(_ request: EndpointRequest) async -> EndpointResponse {
        guard hasAccessToken(request) else { return .unauthorized }
        guard let bytes = try? await request.body.collect(upTo: 64 << 10), let body = try? JSONValue.parse(bytes)
        else {
            return .error(.badRequest, "bad_request", "malformed body")
        }
        guard let customer = body["customer_id"]?.string, !customer.isEmpty else {
            return .error(.badRequest, "bad_request", "invalid customer id", field: "customer_id")
        }
        guard let invoice = body["invoice_id"]?.string, !invoice.isEmpty else {
            return .error(.badRequest, "bad_request", "invalid invoice id", field: "invoice_id")
        }
        guard Catalogue.hasCustomer(customer) else {
            return .error(.notFound, "not_found", "customer not found")
        }
        guard let owner = Catalogue.owner(ofInvoice: invoice) else {
            return .error(.notFound, "not_found", "invoice not found")
        }
        guard owner == customer else {
            return .error(
                .unprocessableContent, "unprocessable_entity", "invoice does not belong to customer",
                field: "invoice_id"
            )
        }
        // A JWT states whole seconds. Like vendors, the sandbox counts from the second that `Date` states.
        let start = now().timeIntervalSince1970.rounded(.down)
        let lifetime = (configuration.checkoutTokenLifetime / .seconds(1)).rounded(.up)
        let expiry = Date(timeIntervalSince1970: start + lifetime)
        let claims = CheckoutClaims(
            clientID: configuration.clientID, customerID: customer.unicode, invoiceID: invoice.unicode, expiry: expiry
        )
        guard let token = await keys.sign(claims) else {
            return .error(.internalServerError, "internal_error", "internal error")
        }
        let expiresAt = expiry.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
        return .json(["token": .string(token), "expires_at": .string(expiresAt)])
    }

    private func invoiceOfSession(_ request: EndpointRequest) async -> EndpointResponse {
        guard let id = await invoiceID(ofSession: request) else { return .unauthorized }
        return invoice(id).map(EndpointResponse.json) ?? .unauthorized
    }

    /// Pays the invoice of a session once, without a card or money. The vendor does not document this path; it
    /// simulates what its SDK does.
    private func payInvoiceOfSession(_ request: EndpointRequest) async -> EndpointResponse {
        guard let id = await invoiceID(ofSession: request) else { return .unauthorized }
        guard memory.withLock({ $0.paidInvoices.insert(id).inserted }) else {
            return .error(.conflict, "conflict", "invoice is already paid")
        }
        return invoice(id).map(EndpointResponse.json) ?? .unauthorized
    }

    private func invoice(_ request: EndpointRequest) async -> EndpointResponse {
        guard hasAccessToken(request) else { return .unauthorized }
        return invoice(ExactString(request.pathParameters["id"] ?? "")).map(EndpointResponse.json)
            ?? .error(.notFound, "not_found", "invoice not found")
    }

    private func invoice(_ id: ExactString) -> JSONValue? {
        Catalogue.invoice(id, isPaid: memory.withLock { $0.paidInvoices.contains(id) }, at: now())
    }

    private func customer(_ request: EndpointRequest) async -> EndpointResponse {
        guard hasAccessToken(request) else { return .unauthorized }
        return Catalogue.customer(ExactString(request.pathParameters["id"] ?? "")).map(EndpointResponse.json)
            ?? .error(.notFound, "not_found", "customer not found")
    }

    // MARK: Authentication

    /// Returns the invoice that a checkout token is for, or `nil` without a valid token.
    private func invoiceID(ofSession request: EndpointRequest) async -> ExactString? {
        guard let token = bearerToken(request), let claims = await keys.verify(token), claims.expiry > now() else {
            return nil
        }
        return ExactString(claims.invoiceID)
    }

    /// Returns whether the id and the secret are correct. Accepts them as they are, and form-encoded as RFC 6749
    /// (section 2.3.1) requires.
    private func credentialsAreRight(_ authorization: String?) -> Bool {
        guard let encoded = authorization.flatMap({ value(of: $0, scheme: "basic") }),
            let decoded = Data(base64Encoded: String(encoded)).map({ String(decoding: $0, as: UTF8.self) })
        else { return false }
        let (id, secret) = (configuration.clientID, configuration.clientSecret)
        return ["\(id):\(secret)", "\(formEncoded(id)):\(formEncoded(secret))"].contains {
            Secret($0) == Secret(decoded)
        }
    }

    private func hasAccessToken(_ request: EndpointRequest) -> Bool {
        guard let token = bearerToken(request) else { return false }
        let now = now()
        return memory.withLock { memory in memory.accessTokens[ExactString(token)].map { $0 > now } ?? false }
    }

    private func bearerToken(_ request: EndpointRequest) -> String? {
        request.head.headerFields[.authorization].flatMap { value(of: $0, scheme: "bearer") }.map(String.init)
    }

    private func value(of authorization: String, scheme: String) -> Substring? {
        let parts = authorization.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == scheme else { return nil }
        return parts[1]
    }
}

/// The calls received, as `GET /_sandbox/calls` reports them.
struct CallCount: Sendable {
    var total = 0
    var throttled = 0
    var byRoute: [String: Int] = [:]
}
#endif

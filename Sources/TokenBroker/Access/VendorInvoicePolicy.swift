public import FoundationEssentials
import HTTPTypes
public import Logging

/// Asks the vendor whose invoice it is, and says yes if it is the customer's.
///
/// That proves nothing about who asks: another policy has to bind the customer to the principal. An invoice that is not
/// there and one that is another's are the same no, at the cost of one call. Put
/// ``AccessPolicy/caching(for:clock:)`` behind it.
public struct VendorInvoicePolicy: AccessPolicy, AsksVendor {
    /// It looks at the two together.
    public let binds: AccessBinding = .invoiceOfCustomer
    private let lookup: VendorProfile.InvoiceLookup
    private let step: VendorStep
    private let accessTokens: any TokenProvider

    /// - Parameters:
    ///   - vendor: Where to ask, and how.
    ///   - accessTokens: Step 1, normally behind a cache.
    ///   - transport: Carries the calls, rate-limited like all calls to the vendor.
    ///   - timeout: For each call, queueing included.
    ///   - clock: Measures timeouts, and how long refusals are remembered.
    ///   - wallClock: For a `Retry-After` that is a date, if the vendor does not tell its own time.
    ///   - logger: For what stands in the way to the vendor.
    /// - Returns: `nil` if the vendor's profile has no ``VendorProfile/invoiceLookup``.
    public init?(
        vendor: Vendor, accessTokens: any TokenProvider, transport: any HTTPTransport,
        timeout: Duration = .seconds(10), clock: some Clock<Duration> = ContinuousClock(),
        wallClock: @escaping @Sendable () -> Date = { Date() }, logger: Logger? = nil
    ) {
        guard let lookup = vendor.profile.invoiceLookup else { return nil }
        self.lookup = lookup
        self.step = VendorStep(
            "invoice_lookup", .init(paths: [lookup.path], outcomes: lookup.outcomes), vendor: vendor,
            transport: transport, timeout: timeout, clock: clock, wallClock: wallClock, logger: logger
        )
        self.accessTokens = accessTokens
    }

    /// See ``AccessPolicy/authorize(_:for:)``; the type tells what is particular.
    /// - Throws: ``TokenError`` if the vendor does not answer, or answers nonsense.
    public func authorize(_ principal: Principal, for request: TokenRequest) async throws -> Bool {
        // Dots would change the path, even encoded (RFC 3986, section 5.2.4).
        guard let customer = request.inputs[.customer], let invoice = request.inputs[.invoice],
            !["", ".", ".."].contains(invoice)
        else { throw AccessRefusal("invoice_unusable") }
        let made = VendorStep.Request(
            method: .get, parameters: ["id": percentEncoded(invoice)], fields: [.accept: "application/json"])
        // Nobody has proven yet that the ids are this principal's.
        let (answer, _) = try await step.execute(
            with: accessTokens, for: request, by: .principal(principal), timeout: step.timeout, made)
        if case .failure(let error) = answer.content, error.code == .requestRejected {
            throw AccessRefusal("vendor_refused")
        }
        let found = try answer.content.get()
        guard found[lookup.idMember]?.string == invoice, found[lookup.customerMember]?.string == customer else {
            throw AccessRefusal("not_the_customers")
        }
        return true
    }
}

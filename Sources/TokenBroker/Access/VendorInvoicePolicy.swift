public import FoundationEssentials
import HTTPTypes
public import Logging

/// A policy that looks up the invoice at the vendor, and allows access if it belongs to the customer.
///
/// This proves nothing about the caller: another policy has to bind the customer to the principal. An invoice that does
/// not exist and one that belongs to another customer are refused alike, at the cost of one call. Decorate the policy
/// with ``AccessPolicy/caching(for:clock:)``.
public struct VendorInvoicePolicy: AccessPolicy, AsksVendor {
    /// The invoice belongs to the customer.
    public let binds: AccessBinding = .invoiceOfCustomer
    private let lookup: VendorProfile.InvoiceLookup
    private let step: VendorStep
    private let accessTokens: any TokenProvider

    /// Creates a policy.
    ///
    /// - Parameters:
    ///   - vendor: The vendor, with its profile and address.
    ///   - accessTokens: The provider for step 1, normally cached.
    ///   - transport: The transport for the calls, rate-limited like all calls to the vendor.
    ///   - timeout: The timeout of each call, including time in a queue.
    ///   - clock: The clock that measures timeouts and how long refusals are remembered.
    ///   - wallClock: The clock for a `Retry-After` date, if the response does not tell the vendor's time.
    ///   - logger: Logs obstacles on the way to the vendor.
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

    /// Looks up the invoice at the vendor.
    /// - Throws: ``AccessRefusal`` if the invoice does not exist or is not the customer's. ``TokenError`` if the vendor
    ///   does not answer or its response makes no sense.
    public func authorize(_ principal: Principal, for request: TokenRequest) async throws -> Bool {
        // A dot segment would change the path, even percent-encoded (RFC 3986, section 5.2.4).
        guard let customer = request.inputs[.customer], let invoice = request.inputs[.invoice],
            !["", ".", ".."].contains(invoice)
        else { throw AccessRefusal("invoice_unusable") }
        let made = VendorStep.Request(
            method: .get, parameters: ["id": percentEncoded(invoice)], fields: [.accept: "application/json"])
        // Nothing has proven yet that the ids belong to this principal.
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

/// What a token is for. Two requests can get the same token only if all their members are equal, byte for byte.
public struct TokenRequest: Sendable, Hashable {
    /// The tenant, in a broker that serves several. It comes from the caller's identity or from the configuration,
    /// never from a request's body.
    public var tenant: ExactString
    /// The inputs that the token is scoped to: ``Input/customer`` and ``Input/invoice`` for a checkout token; empty for
    /// an access token.
    public var inputs: [Input: ExactString]
    /// The OAuth scopes (RFC 6749, section 3.3).
    public var scopes: Set<ExactString>
    /// The resource that the token is meant for, if the server expects one.
    public var audience: ExactString?

    /// Creates a token request.
    ///
    /// - Parameters:
    ///   - tenant: The tenant, in a broker that serves several.
    ///   - inputs: The inputs that the token is scoped to; empty for an access token.
    ///   - scopes: The OAuth scopes.
    ///   - audience: The resource that the token is meant for.
    public init(
        tenant: ExactString = "", inputs: [Input: ExactString] = [:], scopes: Set<ExactString> = [],
        audience: ExactString? = nil
    ) {
        self.tenant = tenant
        self.inputs = inputs
        self.scopes = scopes
        self.audience = audience
    }

    /// Creates a request for a checkout session of one customer and one invoice.
    public init(tenant: ExactString = "", customer: ExactString, invoice: ExactString) {
        self.init(tenant: tenant, inputs: [.customer: customer, .invoice: invoice])
    }

    /// Creates a request for a checkout session of one customer and one invoice.
    public init(tenant: String = "", customer: String, invoice: String) {
        self.init(
            tenant: ExactString(tenant), customer: ExactString(customer), invoice: ExactString(invoice)
        )
    }

    /// Hashes the values, in any order. This is cheaper than hashing a dictionary and a set, and every cached token
    /// takes this path.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(tenant)
        var inAnyOrder = 0
        for value in inputs.values { inAnyOrder &+= value.hashValue }
        for scope in scopes { inAnyOrder &+= scope.hashValue }
        hasher.combine(inAnyOrder)
        if let audience { hasher.combine(audience) }
    }

    /// The name of an input that a token can be scoped to.
    public struct Input: RawRepresentable, Sendable, Hashable, ExpressibleByStringLiteral, CustomStringConvertible {
        /// The name as text.
        public var rawValue: ExactString
        /// Creates an input from its name.
        public init(rawValue: ExactString) { self.rawValue = rawValue }
        /// Creates an input from a literal name.
        public init(stringLiteral value: String) { self.init(rawValue: ExactString(value)) }
        /// The name. Safe to log.
        public var description: String { rawValue.description }

        /// The customer whose session it is.
        public static let customer: Self = "customer"
        /// The invoice that is to be paid.
        public static let invoice: Self = "invoice"
    }
}

/// What one caller demands of a token.
public struct TokenDemand: Sendable, Hashable {
    /// The minimum remaining lifetime of the token. The provider guarantees the smaller of this and half of the token's
    /// lifetime, since a server may issue tokens that live shorter than callers demand.
    public var minimumRemaining: Duration
    /// The id of a token that was refused. The provider returns another token. This is the only way to invalidate a
    /// token, and it invalidates only this one.
    public var replacing: Token.ID?
    /// How long this caller waits; `nil` for no limit. A caller that stops waiting does not end a fetch that others
    /// wait for.
    public var timeout: Duration?

    /// Creates a demand.
    ///
    /// - Parameters:
    ///   - minimumRemaining: The minimum remaining lifetime of the token.
    ///   - replacing: The id of a token that was refused.
    ///   - timeout: How long this caller waits; `nil` for no limit.
    public init(minimumRemaining: Duration = .zero, replacing: Token.ID? = nil, timeout: Duration? = nil) {
        self.minimumRemaining = minimumRemaining
        self.replacing = replacing
        self.timeout = timeout
    }
}

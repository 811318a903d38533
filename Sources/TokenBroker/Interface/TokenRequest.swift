/// What a token is for. Two requests are answered with the same token only if they are equal in every member, byte for byte.
public struct TokenRequest: Sendable, Hashable {
    /// On whose behalf, in a broker that serves several parties. It comes from who asks or from the configuration,
    /// never from a request's body.
    public var tenant: ExactString
    /// What the token is scoped to, by name: for a checkout ``Input/customer`` and ``Input/invoice``; empty for an
    /// access token.
    public var inputs: [Input: ExactString]
    /// OAuth scopes (RFC 6749, section 3.3).
    public var scopes: Set<ExactString>
    /// The resource the token is meant for, where the server asks for it.
    public var audience: ExactString?

    /// - Parameters:
    ///   - tenant: On whose behalf.
    ///   - inputs: What the token is scoped to; empty for an access token.
    ///   - scopes: OAuth scopes.
    ///   - audience: The resource the token is meant for.
    public init(
        tenant: ExactString = "", inputs: [Input: ExactString] = [:], scopes: Set<ExactString> = [],
        audience: ExactString? = nil
    ) {
        self.tenant = tenant
        self.inputs = inputs
        self.scopes = scopes
        self.audience = audience
    }

    /// A request for a checkout session of one customer and one invoice.
    public init(tenant: ExactString = "", customer: ExactString, invoice: ExactString) {
        self.init(tenant: tenant, inputs: [.customer: customer, .invoice: invoice])
    }

    /// A request for a checkout session of one customer and one invoice.
    public init(tenant: String = "", customer: String, invoice: String) {
        self.init(
            tenant: ExactString(tenant), customer: ExactString(customer), invoice: ExactString(invoice)
        )
    }

    /// The values count, in any order. Cheaper than hashing a dictionary and a set, since this is on the way of every cached token.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(tenant)
        var inAnyOrder = 0
        for value in inputs.values { inAnyOrder &+= value.hashValue }
        for scope in scopes { inAnyOrder &+= scope.hashValue }
        hasher.combine(inAnyOrder)
        if let audience { hasher.combine(audience) }
    }

    /// The name of something a token can be scoped to.
    public struct Input: RawRepresentable, Sendable, Hashable, ExpressibleByStringLiteral, CustomStringConvertible {
        /// The name as text.
        public var rawValue: ExactString
        /// Takes the name as it is.
        public init(rawValue: ExactString) { self.rawValue = rawValue }
        /// Takes the name as it is.
        public init(stringLiteral value: String) { self.init(rawValue: ExactString(value)) }
        /// Safe to log.
        public var description: String { rawValue.description }

        /// The customer whose session it is.
        public static let customer: Self = "customer"
        /// The invoice that is to be paid.
        public static let invoice: Self = "invoice"
    }
}

/// What one caller needs of a token.
public struct TokenDemand: Sendable, Hashable {
    /// The token must be valid for at least this long. What is promised is the smaller of this and half the
    /// token's lifetime, since a server may issue shorter ones than anyone asked for.
    public var minimumRemaining: Duration
    /// A token that was refused. The answer is not that one. This is the only way to invalidate a token, and it
    /// invalidates only that very token.
    public var replacing: Token.ID?
    /// How long this caller waits; `nil` for as long as it takes. A caller that stops waiting does not end the fetch
    /// that others wait for.
    public var timeout: Duration?

    /// Takes all members, in their order of declaration.
    public init(minimumRemaining: Duration = .zero, replacing: Token.ID? = nil, timeout: Duration? = nil) {
        self.minimumRemaining = minimumRemaining
        self.replacing = replacing
        self.timeout = timeout
    }
}

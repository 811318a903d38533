/// Everything that is particular to a vendor, as data. The token providers read it; they name no vendor.
public struct VendorProfile: Sendable {
    /// What a configuration file calls it, and the account its rate limit belongs to.
    public var id: String
    /// The base URL of each environment by name; `nil` for one that has no address of its own and needs one configured.
    public var environments: [String: String?]
    /// The environment variables that hold the credentials unless others are configured.
    public var credentialVariables: CredentialNames
    /// How id and secret stand in the `Authorization` field of step 1 unless configured otherwise.
    public var basicEncoding: BasicEncoding
    /// The lifetime of a token whose answer does not tell one.
    public var assumedLifetime: Duration
    /// How many calls the vendor takes in a second from one account, all endpoints together; `nil` if it has no limit.
    public var requestsPerSecond: Int?
    /// What an error body in the vendor's own words looks like: one of these. A 4xx with any other body comes from something in front of the
    /// vendor, such as a firewall or a gateway, and says nothing about credentials or sessions.
    public var errorShapes: [ErrorShape]
    /// How an access token is had.
    public var accessToken: AccessTokenStep
    /// How a checkout token is had.
    public var checkoutToken: CheckoutTokenStep
    /// How to find out whose an invoice is; `nil` if the vendor does not tell.
    public var invoiceLookup: InvoiceLookup?

    /// All members, in their order of declaration.
    public init(
        id: String, environments: [String: String?], credentialVariables: CredentialNames,
        basicEncoding: BasicEncoding = .form, assumedLifetime: Duration = .seconds(300),
        requestsPerSecond: Int? = nil, errorShapes: [ErrorShape],
        accessToken: AccessTokenStep, checkoutToken: CheckoutTokenStep, invoiceLookup: InvoiceLookup? = nil
    ) {
        self.id = id
        self.environments = environments
        self.credentialVariables = credentialVariables
        self.basicEncoding = basicEncoding
        self.assumedLifetime = assumedLifetime
        self.requestsPerSecond = requestsPerSecond
        self.errorShapes = errorShapes
        self.accessToken = accessToken
        self.checkoutToken = checkoutToken
        self.invoiceLookup = invoiceLookup
    }

    /// What a JSON value has to be like.
    public indirect enum ErrorShape: Sendable, Hashable {
        /// A string.
        case text
        /// An array with something in it.
        case list
        /// An object with at least these members. It may have others.
        case object([String: ErrorShape])

        /// Whether a value has this shape.
        func matches(_ value: JSONValue) -> Bool {
            switch (self, value) {
            case (.text, .string): true
            case (.list, .array(let elements)): !elements.isEmpty
            case (.object(let members), .object):
                members.allSatisfy { name, shape in value[name].map(shape.matches) ?? false }
            default: false
            }
        }
    }

    /// How id and secret are written before they are joined and base64-encoded.
    public enum BasicEncoding: String, Sendable, CaseIterable {
        /// Form-encoded each, as RFC 6749 (section 2.3.1) says.
        case form
        /// As they are, for servers that do not decode.
        case raw
    }

    /// How step 1 proves which client asks, by its registered name (RFC 7591, section 2, and RFC 8705, section 2.1).
    public enum ClientAuthentication: String, Sendable, CaseIterable {
        /// Id and secret in the `Authorization` field (RFC 6749, section 2.3.1).
        case clientSecretBasic = "client_secret_basic"
        /// Id and secret in the body (RFC 6749, section 2.3.1).
        case clientSecretPost = "client_secret_post"
        /// An assertion signed with the client's private key (RFC 7523, section 2.2).
        case privateKeyJWT = "private_key_jwt"
        /// The certificate that the transport shows (RFC 8705, section 2.1). There is an id and no secret.
        case tlsClientAuth = "tls_client_auth"

        /// Whether a credential has a second half.
        public var needsSecret: Bool { self != .tlsClientAuth }
    }

    /// Step 1: the client credentials grant (RFC 6749, section 4.4).
    public struct AccessTokenStep: Sendable {
        /// Below the base URL.
        public var path: String
        /// How the client proves itself unless configured otherwise.
        public var clientAuthentication: ClientAuthentication
        /// What a status in the vendor's own words means; an absent one means ``TokenError/Code/unavailable``. The codes of RFC 6749
        /// (section 5.2) come before it.
        public var outcomes: [Int: TokenError.Code]

        /// Takes all members, in their order of declaration.
        public init(
            path: String, clientAuthentication: ClientAuthentication = .clientSecretBasic,
            outcomes: [Int: TokenError.Code]
        ) {
            self.path = path
            self.clientAuthentication = clientAuthentication
            self.outcomes = outcomes
        }
    }

    /// Step 2: the token for a page, asked for with the access token as bearer.
    public struct CheckoutTokenStep: Sendable {
        /// Below the base URL, in order of preference. A 404 without the vendor's error body means that a path is not
        /// there, and the next is tried; the one that worked is remembered.
        public var paths: [String]
        /// The body's member for each input of the ``TokenRequest``.
        public var bodyMembers: [TokenRequest.Input: String]
        /// Where the token may stand in the answer, in order of preference.
        public var tokenMembers: [String]
        /// Where the expiry may stand as an absolute time, in order of preference. It can only shorten the life that the token's `exp` claim
        /// tells, if there is one.
        public var expiryMembers: [String]
        /// The claim of the token that must equal each input.
        public var claims: [TokenRequest.Input: String]
        /// What a status in the vendor's own words means; an absent one means ``TokenError/Code/unavailable``.
        public var outcomes: [Int: TokenError.Code]
        /// Whether the vendor ends a checkout token with the access token it was asked for with.
        public var endsWithAccessToken: Bool

        /// All members, in their order of declaration.
        public init(
            paths: [String], bodyMembers: [TokenRequest.Input: String], tokenMembers: [String],
            expiryMembers: [String], claims: [TokenRequest.Input: String], outcomes: [Int: TokenError.Code],
            endsWithAccessToken: Bool
        ) {
            self.paths = paths
            self.bodyMembers = bodyMembers
            self.tokenMembers = tokenMembers
            self.expiryMembers = expiryMembers
            self.claims = claims
            self.outcomes = outcomes
            self.endsWithAccessToken = endsWithAccessToken
        }
    }

    /// A read of one invoice, with the access token as bearer.
    public struct InvoiceLookup: Sendable {
        /// Below the base URL, with `{id}` for the invoice.
        public var path: String
        /// The member of the answer that is the invoice itself.
        public var idMember: String
        /// The member that names its customer.
        public var customerMember: String
        /// What a status in the vendor's own words means; an absent one means ``TokenError/Code/unavailable``.
        /// ``TokenError/Code/requestRejected`` is for an invoice that is not there or is another's.
        public var outcomes: [Int: TokenError.Code]

        /// All members, in their order of declaration.
        public init(path: String, idMember: String, customerMember: String, outcomes: [Int: TokenError.Code]) {
            self.path = path
            self.idMember = idMember
            self.customerMember = customerMember
            self.outcomes = outcomes
        }
    }
}

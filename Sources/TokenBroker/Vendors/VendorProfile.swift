/// Everything that is specific to a vendor, as data. The token providers read the profile and name no vendor.
public struct VendorProfile: Sendable {
    /// The vendor's id in a configuration file, and the account that the rate limit belongs to.
    public var id: String
    /// The base URL of each environment, by name; `nil` for an environment whose base URL has to be configured.
    public var environments: [String: String?]
    /// The environment variables that hold the credentials, unless others are configured.
    public var credentialVariables: CredentialNames
    /// How the id and the secret are encoded in step 1's `Authorization` field, unless configured otherwise.
    public var basicEncoding: BasicEncoding
    /// The lifetime of a token whose response does not state one.
    public var assumedLifetime: Duration
    /// How many calls per second the vendor accepts from one account, all endpoints together; `nil` if there is no
    /// limit.
    public var requestsPerSecond: Int?
    /// The shapes that an error body in the vendor's own words can have. A 4xx with any other body comes from something
    /// in front of the vendor, such as a firewall or a gateway, and says nothing about credentials or sessions.
    public var errorShapes: [ErrorShape]
    /// How an access token is requested.
    public var accessToken: AccessTokenStep
    /// How a checkout token is requested.
    public var checkoutToken: CheckoutTokenStep
    /// How an invoice is looked up; `nil` if the vendor has no such lookup.
    public var invoiceLookup: InvoiceLookup?

    /// Creates a profile.
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

    /// The shape of a JSON value.
    public indirect enum ErrorShape: Sendable, Hashable {
        /// A string.
        case text
        /// A non-empty array.
        case list
        /// An object with at least these members.
        case object([String: ErrorShape])

        /// Returns whether a value has this shape.
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

    /// How the id and the secret are encoded before they are joined and base64-encoded.
    public enum BasicEncoding: String, Sendable, CaseIterable {
        /// Each is form-encoded, as RFC 6749 (section 2.3.1) requires.
        case form
        /// Both are used as they are, for servers that do not decode them.
        case raw
    }

    /// How the client authenticates in step 1, by registered name (RFC 7591, section 2, and RFC 8705, section 2.1).
    public enum ClientAuthentication: String, Sendable, CaseIterable {
        /// The id and the secret in the `Authorization` field (RFC 6749, section 2.3.1).
        case clientSecretBasic = "client_secret_basic"
        /// The id and the secret in the body (RFC 6749, section 2.3.1).
        case clientSecretPost = "client_secret_post"
        /// An assertion signed with the client's private key (RFC 7523, section 2.2).
        case privateKeyJWT = "private_key_jwt"
        /// The transport's client certificate (RFC 8705, section 2.1). The credential has an id and no secret.
        case tlsClientAuth = "tls_client_auth"

        /// A Boolean value that indicates whether the credential needs a secret.
        public var needsSecret: Bool { self != .tlsClientAuth }
    }

    /// Step 1: the client credentials grant (RFC 6749, section 4.4).
    public struct AccessTokenStep: Sendable {
        /// The path below the base URL.
        public var path: String
        /// How the client authenticates, unless configured otherwise.
        public var clientAuthentication: ClientAuthentication
        /// What each status of an error in the vendor's own words means. A status that is not listed means
        /// ``TokenError/Code/unavailable``. An error code of RFC 6749 (section 5.2) overrides the status.
        public var outcomes: [Int: TokenError.Code]

        /// Creates the description of step 1.
        public init(
            path: String, clientAuthentication: ClientAuthentication = .clientSecretBasic,
            outcomes: [Int: TokenError.Code]
        ) {
            self.path = path
            self.clientAuthentication = clientAuthentication
            self.outcomes = outcomes
        }
    }

    /// Step 2: the request for a page's token, with the access token as bearer token.
    public struct CheckoutTokenStep: Sendable {
        /// The paths below the base URL, in order of preference. A 404 without the vendor's error body means that a
        /// path does not exist, and the next one is tried. The path that works is remembered.
        public var paths: [String]
        /// The member of the request body for each input of the ``TokenRequest``.
        public var bodyMembers: [TokenRequest.Input: String]
        /// The members of the response that may hold the token, in order of preference.
        public var tokenMembers: [String]
        /// The members of the response that may hold the expiry as an absolute time, in order of preference. If the
        /// token has an `exp` claim, the member can only shorten the lifetime.
        public var expiryMembers: [String]
        /// The claim of the token that must equal each input.
        public var claims: [TokenRequest.Input: String]
        /// What each status of an error in the vendor's own words means. A status that is not listed means
        /// ``TokenError/Code/unavailable``.
        public var outcomes: [Int: TokenError.Code]
        /// A Boolean value that indicates whether a checkout token expires together with the access token it was
        /// requested with.
        public var endsWithAccessToken: Bool

        /// Creates the description of step 2.
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

    /// The lookup of one invoice, with the access token as bearer token.
    public struct InvoiceLookup: Sendable {
        /// The path below the base URL, with `{id}` for the invoice's id.
        public var path: String
        /// The member of the response that holds the invoice's id.
        public var idMember: String
        /// The member of the response that holds the customer's id.
        public var customerMember: String
        /// What each status of an error in the vendor's own words means. A status that is not listed means
        /// ``TokenError/Code/unavailable``. ``TokenError/Code/requestRejected`` is for an invoice that does not exist
        /// or belongs to another customer.
        public var outcomes: [Int: TokenError.Code]

        /// Creates the description of a lookup.
        public init(path: String, idMember: String, customerMember: String, outcomes: [Int: TokenError.Code]) {
            self.path = path
            self.idMember = idMember
            self.customerMember = customerMember
            self.outcomes = outcomes
        }
    }
}

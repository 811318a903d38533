extension VendorProfile {
    /// The profile of Alternative Payments: <https://docs.alternativepayments.io>.
    ///
    /// Documented and observed behaviour differ in places; the profile supports both. Step 1 answers bad credentials
    /// with 403. The documented path of step 2 is `/v1/checkout-auth/init`, but some environments answer
    /// `/checkout-auth/init` instead. The format of the checkout token's expiry is not documented.
    public static let alternativePayments = VendorProfile(
        id: "alternative-payments",
        environments: [
            "production": "https://public-api.alternativepayments.io",
            "demo": "https://public-api.demo.alternativepayments.io",
            "sandbox": nil,
        ],
        credentialVariables: .init(clientID: "ALTERNATIVE_CLIENT_ID", clientSecret: "ALTERNATIVE_CLIENT_SECRET"),
        requestsPerSecond: 5,
        errorShapes: [
            .object(["code": .text, "message": .text]), .object(["error": .object(["message": .text])]),
            .object(["errors": .list]),
        ],
        accessToken: .init(
            path: "/oauth/token",
            outcomes: [
                400: .misconfigured, 401: .credentialsRejected, 403: .credentialsRejected, 404: .misconfigured,
                429: .throttled,
            ]
        ),
        checkoutToken: .init(
            paths: ["/v1/checkout-auth/init", "/checkout-auth/init"],
            bodyMembers: [.customer: "customer_id", .invoice: "invoice_id"],
            tokenMembers: ["token", "access_token"],
            expiryMembers: ["expires_at"],
            claims: [.customer: "customer_id", .invoice: "invoice_id"],
            outcomes: [
                400: .requestRejected, 401: .credentialsRejected, 403: .credentialsRejected, 404: .requestRejected,
                422: .requestRejected, 429: .throttled,
            ],
            endsWithAccessToken: false
        ),
        invoiceLookup: .init(
            path: "/invoices/{id}", idMember: "id", customerMember: "customer_id",
            outcomes: [
                400: .requestRejected, 401: .credentialsRejected, 403: .requestRejected, 404: .requestRejected,
                422: .requestRejected, 429: .throttled,
            ]
        )
    )
}

import Testing
import TokenBroker
import TokenBrokerTesting

/// A step 1 that always succeeds, so that only step 2 misbehaves.
private struct AccessTokens: TokenProvider {
    let issuer: MisbehavingIssuer

    func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        Token(secret: Secret(issuer.accessToken()), remaining: .seconds(3600))
    }
}

private func accessTokens(
    _ issuer: MisbehavingIssuer, _ clock: ManualClock
) throws -> ClientCredentialsProvider {
    ClientCredentialsProvider(
        vendor: try Vendor(profile: .alternativePayments, baseURL: "https://vendor.example"),
        credentials: StaticCredentials([MisbehavingIssuer.credential]), transport: issuer, clock: clock,
        wallClock: { clock.date }
    )
}

private func checkoutTokens(
    _ issuer: MisbehavingIssuer, _ clock: ManualClock, _ accessTokens: any TokenProvider
) throws -> CheckoutTokenProvider {
    CheckoutTokenProvider(
        vendor: try Vendor(profile: .alternativePayments, baseURL: "https://vendor.example"),
        accessTokens: accessTokens, transport: issuer, wallClock: { clock.date }
    )
}

private protocol AccessTokenFixture: TokenProviderFixture {}
extension AccessTokenFixture {
    func request(_ number: Int) -> TokenRequest { TokenRequest(scopes: ["scope-\(number)"]) }
}

private protocol CheckoutTokenFixture: TokenProviderFixture {}
extension CheckoutTokenFixture {
    func request(_ number: Int) -> TokenRequest { TokenRequest(customer: "cus_1", invoice: "inv_\(number)") }
}

private struct ClientCredentialsFixture: AccessTokenFixture {
    static let capabilities: TokenProviderContract.Capabilities = []
    func provider(from issuer: MisbehavingIssuer, clock: ManualClock) throws -> any TokenProvider {
        try accessTokens(issuer, clock)
    }
}

private struct RetryingFixture: AccessTokenFixture {
    static let capabilities: TokenProviderContract.Capabilities = []
    func provider(from issuer: MisbehavingIssuer, clock: ManualClock) throws -> any TokenProvider {
        try accessTokens(issuer, clock).retrying(clock: clock)
    }
}

private struct CachingFixture: AccessTokenFixture {
    static let capabilities: TokenProviderContract.Capabilities = .caches
    func provider(from issuer: MisbehavingIssuer, clock: ManualClock) throws -> any TokenProvider {
        try accessTokens(issuer, clock).caching(clock: clock)
    }
}

private struct CheckoutFixture: CheckoutTokenFixture {
    static let capabilities: TokenProviderContract.Capabilities = []
    func provider(from issuer: MisbehavingIssuer, clock: ManualClock) throws -> any TokenProvider {
        try checkoutTokens(issuer, clock, AccessTokens(issuer: issuer))
    }
}

private struct CachingCheckoutFixture: CheckoutTokenFixture {
    static let capabilities: TokenProviderContract.Capabilities = .caches
    func provider(from issuer: MisbehavingIssuer, clock: ManualClock) throws -> any TokenProvider {
        try checkoutTokens(issuer, clock, AccessTokens(issuer: issuer)).retrying(clock: clock).caching(clock: clock)
    }
}

/// Both steps as the composer builds them, so that either may fail.
private struct ComposedFixture: CheckoutTokenFixture {
    static let capabilities: TokenProviderContract.Capabilities = .caches
    func provider(from issuer: MisbehavingIssuer, clock: ManualClock) throws -> any TokenProvider {
        let access = try accessTokens(issuer, clock).retrying(clock: clock).caching(clock: clock)
        return try checkoutTokens(issuer, clock, access).retrying(clock: clock).caching(clock: clock)
    }
}

struct TokenProviderContractTests {
    @Test(arguments: TokenProviderContract.cases(for: ClientCredentialsFixture.self))
    func `the client credentials provider passes the token provider contract`(
        _ test: TokenProviderContract.Case
    ) async throws {
        try await test.run(on: ClientCredentialsFixture())
    }

    @Test(arguments: TokenProviderContract.cases(for: RetryingFixture.self))
    func `the retrying provider passes the token provider contract`(_ test: TokenProviderContract.Case) async throws {
        try await test.run(on: RetryingFixture())
    }

    @Test(arguments: TokenProviderContract.cases(for: CachingFixture.self))
    func `the caching provider passes the token provider contract`(_ test: TokenProviderContract.Case) async throws {
        try await test.run(on: CachingFixture())
    }

    @Test(arguments: TokenProviderContract.cases(for: CheckoutFixture.self))
    func `the checkout token provider passes the token provider contract`(
        _ test: TokenProviderContract.Case
    ) async throws {
        try await test.run(on: CheckoutFixture())
    }

    @Test(arguments: TokenProviderContract.cases(for: CachingCheckoutFixture.self))
    func `the cached checkout token provider passes the token provider contract`(
        _ test: TokenProviderContract.Case
    ) async throws {
        try await test.run(on: CachingCheckoutFixture())
    }

    @Test(arguments: TokenProviderContract.cases(for: ComposedFixture.self))
    func `the composed providers pass the token provider contract`(_ test: TokenProviderContract.Case) async throws {
        try await test.run(on: ComposedFixture())
    }
}

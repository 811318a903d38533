import HTTPTypes
import Synchronization
import Testing
import TokenBroker
import TokenBrokerTesting

/// A way in which a token provider violates its contract.
private enum Mutation: String, CaseIterable {
    case none
    case noTenantInKey, noAudienceInKey, noScopesInKey, oneKeyForAll
    case staleReplacingFetches, ignoresReplacing, cancellationIsShared, ignoresCancellation
    case dropsScopes, dropsDemand, dropsTenant, hidesThrottling
    case quotesBodies, refusalIsUnavailable, idIsTheSecret, outlivesItsToken

    var caught: (by: String, saying: String) {
        let key = "the whole request is the key"
        let passedOn = "a decorator passes on the whole request and the demand"
        return switch self {
        case .none: ("", "")
        case .noTenantInKey: (key, "another tenant, found the same one")
        case .noAudienceInKey: (key, "another audience, found the same one")
        case .noScopesInKey: (key, "another scopes, found the same one")
        case .oneKeyForAll: (key, "another tenant, found the same one")
        case .staleReplacingFetches:
            ("replacing a token that is no longer current fetches nothing", "in place of one that was replaced before")
        case .ignoresReplacing: ("a token that was refused does not come again", "Expectation failed")
        case .cancellationIsShared:
            ("a caller that waits gets its token although the one before it left", "cancelled")
        case .ignoresCancellation:
            ("a cancelled caller ends only its own wait", "expected a cancelled caller to return within")
        case .dropsScopes, .dropsTenant: (passedOn, "the upstream provider's request: expected")
        case .dropsDemand: (passedOn, "the upstream provider's `replacing`: expected")
        case .hidesThrottling:
            (
                "a decorator passes on what the upstream provider refuses",
                "the error: expected throttled, found unavailable"
            )
        case .quotesBodies: ("a refusal with 401 is no outage", "expected an error without the issuer's words")
        case .refusalIsUnavailable:
            (
                "a refusal with 403 is no outage",
                "expected an error that says that the vendor refused, found unavailable"
            )
        case .idIsTheSecret:
            ("a token has a secret, an id that tells nothing of it, and life that remains", "Expectation failed")
        case .outlivesItsToken:
            ("a kept token is served with the life that is left, and not past its end", "Expectation failed")
        }
    }
}

private struct MutantProvider: TokenProvider {
    let upstream: any TokenProvider
    let mutation: Mutation
    let memory = Memory()

    final class Memory: Sendable {
        let flights = Mutex<[TokenRequest: Task<Token, any Error>]>([:])
        let token = Mutex<Token?>(nil)
    }

    func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        var (request, demand) = (request, demand)
        switch mutation {
        case .noTenantInKey, .dropsTenant: request.tenant = ""
        case .noAudienceInKey: request.audience = nil
        case .noScopesInKey, .dropsScopes: request.scopes = []
        case .oneKeyForAll: request = TokenRequest()
        case .ignoresReplacing: demand.replacing = nil
        case .dropsDemand: demand = TokenDemand()
        case .staleReplacingFetches where demand.replacing != nil:
            demand.replacing = try await upstream.token(for: request).id
        default: break
        }
        let (asked, wanted) = (request, demand)
        switch mutation {
        case .cancellationIsShared:
            let task = memory.flights.withLock { flights in
                if let task = flights[asked] { return task }
                let task = Task { () throws -> Token in try await upstream.token(for: asked, demand: wanted) }
                flights[asked] = task
                return task
            }
            defer { memory.flights.withLock { $0[asked] = nil } }
            do {
                return try await withTaskCancellationHandler {
                    try await task.value
                } onCancel: {
                    task.cancel()
                }
            } catch {
                throw error as? TokenError ?? TokenError(.cancelled, message: "cancelled")
            }
        case .ignoresCancellation:
            let task = Task { () -> Result<Token, TokenError> in
                do throws(TokenError) {
                    return .success(try await upstream.token(for: asked, demand: wanted))
                } catch {
                    return .failure(error)
                }
            }
            return try await task.value.get()
        case .outlivesItsToken:
            if let token = memory.token.withLock({ $0 }) { return token }
        default: break
        }
        do throws(TokenError) {
            let token = try await upstream.token(for: request, demand: demand)
            memory.token.withLock { $0 = token }
            if mutation != .idIsTheSecret { return token }
            return Token(
                id: Token.ID(rawValue: ExactString(token.secret.reveal())), secret: token.secret,
                remaining: token.remaining)
        } catch {
            switch mutation {
            case .quotesBodies:
                throw TokenError(error.code, message: "the vendor answered: the vendor's own words")
            case .refusalIsUnavailable: throw TokenError(.unavailable, message: "the vendor failed")
            case .hidesThrottling where error.code == .throttled:
                throw TokenError(.unavailable, message: "the vendor failed")
            default: throw error
            }
        }
    }
}

private struct MutantFixture: TokenProviderFixture {
    static let capabilities: TokenProviderContract.Capabilities = [.caches, .decorates]
    let mutation: Mutation

    func provider(from issuer: MisbehavingIssuer, clock: ManualClock) throws -> any TokenProvider {
        let vendor = try Vendor(profile: .alternativePayments, baseURL: "https://vendor.example")
        let accessTokens = ClientCredentialsProvider(
            vendor: vendor, credentials: StaticCredentials([MisbehavingIssuer.credential]), transport: issuer,
            clock: clock, wallClock: { clock.date })
        if mutation == .cancellationIsShared { return MutantProvider(upstream: accessTokens, mutation: mutation) }
        return MutantProvider(upstream: accessTokens.caching(clock: clock), mutation: mutation)
    }

    func provider(decorating upstream: any TokenProvider, clock: ManualClock) -> (any TokenProvider)? {
        MutantProvider(upstream: upstream, mutation: mutation)
    }

    func request(_ number: Int) -> TokenRequest { TokenRequest(scopes: [ExactString("scope-\(number)")]) }
}

struct ProviderMutantTests {
    @Test(arguments: Mutation.allCases.filter { $0 != .none })
    private func `a token provider that breaks a promise is caught by its contract, with the reason`(
        _ mutation: Mutation
    ) async throws {
        let (name, words) = mutation.caught
        let test = try only(name, of: TokenProviderContract.cases(for: MutantFixture.self))
        try await expectCaught(words) { try await test.run(on: MutantFixture(mutation: mutation)) }
    }

    @Test(arguments: TokenProviderContract.cases(for: MutantFixture.self))
    func `a token provider without a mutation passes its contract`(_ test: TokenProviderContract.Case) async throws {
        try await test.run(on: MutantFixture(mutation: .none))
    }
}

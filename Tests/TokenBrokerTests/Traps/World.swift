import Foundation
import Synchronization
import TestSupport
import TokenBroker
import TokenBrokerTesting

/// Both steps, as the composer builds them, in front of a misbehaving issuer.
///
/// Time is virtual, and tasks run in random order. A test says what happens and checks the outcome.
final class World {
    let clock = ManualClock()
    let credentials = ChangingCredentials("client", "secret")
    let issuer: MisbehavingIssuer
    let accessTokens: CachingTokenProvider<ClientCredentialsProvider>
    let provider: ClientCredentialsProvider
    let checkoutTokens: CachingTokenProvider<CheckoutTokenProvider>
    private let wall = WallClock()
    private let vendorWall = WallClock()
    private let scheduler: SimulatedScheduler
    private var random: SeededGenerator
    private(set) var complaints: [String] = []

    /// A caller and its result.
    final class Caller: Sendable {
        private let state = Mutex<(result: Result<Token, TokenError>?, task: Task<Void, Never>?)>((nil, nil))
        var result: Result<Token, TokenError>? { state.withLock { $0.result } }
        var token: Token? { try? result?.get() }
        var text: String? { token?.secret.reveal() }
        var error: TokenError? { if case .failure(let error)? = result { error } else { nil } }
        func cancel() { state.withLock { $0.task }?.cancel() }

        init(_ body: @escaping @Sendable () async throws(TokenError) -> Token) {
            let task = Task {
                let result: Result<Token, TokenError>
                do throws(TokenError) { result = .success(try await body()) } catch { result = .failure(error) }
                state.withLock { $0.result = result }
            }
            state.withLock { $0.task = task }
        }
    }

    private init(
        _ scheduler: SimulatedScheduler, seed: UInt64, profile: VendorProfile, callDeadline: Duration, chance: Double,
        source: (any CredentialSource)?
    ) throws {
        self.scheduler = scheduler
        random = SeededGenerator(seed: seed)
        let (clock, wall, vendorWall) = (clock, wall, vendorWall)
        issuer = MisbehavingIssuer(
            profile: profile, clock: clock, wallClock: { clock.date + wall.step + vendorWall.step })
        let vendor = try testVendor(profile)
        provider = ClientCredentialsProvider(
            vendor: vendor, credentials: source ?? credentials, transport: issuer, timeout: callDeadline, clock: clock,
            wallClock: { clock.date + wall.step })
        accessTokens = CachingTokenProvider(provider, clock: clock) { chance }
        let checkout = CheckoutTokenProvider(
            vendor: vendor, accessTokens: accessTokens, transport: issuer, wallClock: { clock.date + wall.step })
        checkoutTokens = CachingTokenProvider(checkout, clock: clock) { chance }
    }

    /// Runs `body` in a few worlds, each with a different order of tasks.
    /// - Returns: The expectations that failed.
    static func run(
        orders: UInt64 = 5, profile: VendorProfile = .alternativePayments, callDeadline: Duration = .seconds(10),
        chance: Double = 0, source: (any CredentialSource)? = nil, _ body: @escaping @Sendable (World) throws -> Void
    ) async -> [String] {
        await SimulatedScheduler.run { scheduler in
            (1...orders).flatMap { seed -> [String] in
                do {
                    let world = try World(
                        scheduler, seed: seed, profile: profile, callDeadline: callDeadline, chance: chance,
                        source: source)
                    try body(world)
                    world.end()
                    return world.complaints
                } catch {
                    return ["\(error)"]
                }
            }
        }
    }

    func expect(_ condition: Bool, _ words: @autoclosure () -> String, line: Int = #line) {
        if !condition { complaints.append("line \(line): \(words())") }
    }

    /// Starts a caller for an access token.
    func ask(_ request: TokenRequest = TokenRequest(), _ demand: TokenDemand = TokenDemand()) -> Caller {
        let provider = accessTokens
        return Caller { () async throws(TokenError) in try await provider.token(for: request, demand: demand) }
    }

    /// Starts a caller for a checkout token.
    func checkout(_ invoice: String = "inv_1", _ demand: TokenDemand = TokenDemand()) -> Caller {
        let (provider, request) = (checkoutTokens, TokenRequest(customer: "cus_1", invoice: invoice))
        return Caller { () async throws(TokenError) in try await provider.token(for: request, demand: demand) }
    }

    /// Starts a caller for an access token, and returns it once all tasks are suspended.
    func now(_ request: TokenRequest = TokenRequest(), _ demand: TokenDemand = TokenDemand()) -> Caller {
        let caller = ask(request, demand)
        settle()
        return caller
    }

    /// Runs all tasks until they are suspended.
    func settle() { scheduler.settle(using: &random) }

    /// Lets time pass, with everything that happens meanwhile in its order.
    func pass(_ duration: Duration) {
        settle()
        let end = clock.now.offset + duration
        while let next = clock.nextDeadline?.offset, next <= end {
            clock.advance(by: next - clock.now.offset)
            settle()
        }
        clock.advance(by: end - clock.now.offset)
        settle()
    }

    /// Moves the wall clock.
    func setWallClock(by seconds: Double) { wall.add(seconds) }

    /// Moves the vendor's clock, but not ours.
    func setVendorClock(by seconds: Double) { vendorWall.add(seconds) }

    func update(_ pair: (id: String, secret: String)...) {
        credentials.set(
            .success(pair.map { Credential(clientID: Secret($0.id), clientSecret: Secret($0.secret)) }))
    }

    private func end() {
        let caches = (accessTokens, checkoutTokens)
        _ = Task {
            await caches.1.shutdown()
            await caches.0.shutdown()
        }
        pass(.seconds(100_000))
    }
}

private final class WallClock: Sendable {
    private let seconds = Mutex(0.0)
    var step: Double { seconds.withLock { $0 } }
    func add(_ step: Double) { seconds.withLock { $0 += step } }
}

public import Logging
public import TokenBroker
public import TokenBrokerComposer

/// The part of a shop that shows an invoice to be paid.
public struct Checkout: Sendable {
    private let tokens: any TokenProvider

    /// - Parameter broker: In the shop, one that was composed without further arguments.
    public init(_ broker: Broker) { tokens = broker.checkoutTokens }

    /// What the page gets: the token, or a word that tells the customer what to do.
    public func state(customer: String, invoice: String) async -> State {
        do {
            let token = try await tokens.token(for: TokenRequest(customer: customer, invoice: invoice))
            return .payable(token.secret)
        } catch {
            switch error.code {
            case .requestRejected: return .notPayable
            default: return .comeBackLater
            }
        }
    }

    /// What the page can do.
    public enum State: Sendable, Equatable {
        case payable(Secret)
        case notPayable
        case comeBackLater
    }
}

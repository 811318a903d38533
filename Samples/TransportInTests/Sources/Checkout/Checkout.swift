public import Logging
public import TokenBroker
public import TokenBrokerComposer

/// The part of a shop that shows an invoice to pay.
public struct Checkout: Sendable {
    private let tokens: any TokenProvider

    /// Creates a checkout.
    /// - Parameter broker: The broker. In the shop, it is composed without further arguments.
    public init(_ broker: Broker) { tokens = broker.checkoutTokens }

    /// Returns the state for the page: the token, or what the customer can do.
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

    /// The state of a checkout page.
    public enum State: Sendable, Equatable {
        case payable(Secret)
        case notPayable
        case comeBackLater
    }
}

import TokenBroker
import TokenBrokerComposer

/// A policy that lets customers pay their own orders. A real shop would look them up in its database.
struct OwnOrders: AccessPolicy {
    struct Order: Sendable {
        var customer: String
        var owner: String
        var age: Duration
    }

    let maximumAge: Duration
    let orders: [ExactString: Order]

    /// The policy checks the customer and the invoice.
    let binds = AccessBinding.session

    /// Returns the plug-in that a configuration file can choose.
    static func plugin(_ orders: [ExactString: Order]) -> PolicyPlugin {
        PolicyPlugin("own-orders", "The owner of the order in the shop's database.", keys: Keys()) { _, values in
            OwnOrders(maximumAge: values.maximumAge, orders: orders)
        }
    }

    struct Keys: ConfigurationKeys {
        let maximumAge = ConfigurationKey(
            "maximumAge", .duration(.zero ... .seconds(720 * 3600)), default: .seconds(48 * 3600),
            "The maximum age of an order."
        )
    }

    func authorize(_ principal: Principal, for request: TokenRequest) async throws -> Bool {
        guard let invoice = request.inputs[.invoice], let order = orders[invoice] else { return false }
        return order.owner == principal.subject && order.customer == request.inputs[.customer]
            && order.age <= maximumAge
    }
}

import TokenBroker
import TokenBrokerComposer

/// Lets customers pay their own orders. A shop would ask its database here.
struct OwnOrders: AccessPolicy {
    struct Order: Sendable {
        var customer: String
        var owner: String
        var age: Duration
    }

    let maximumAge: Duration
    let orders: [ExactString: Order]

    /// Its yes is about customer and invoice.
    let binds = AccessBinding.session

    /// What a configuration file sees of it.
    static func plugin(_ orders: [ExactString: Order]) -> PolicyPlugin {
        PolicyPlugin("own-orders", "Whose order it is, in the shop's database.", keys: Keys()) { _, values in
            OwnOrders(maximumAge: values.maximumAge, orders: orders)
        }
    }

    struct Keys: ConfigurationKeys {
        let maximumAge = ConfigurationKey(
            "maximumAge", .duration(.zero ... .seconds(720 * 3600)), default: .seconds(48 * 3600),
            "How old an order may be."
        )
    }

    func authorize(_ principal: Principal, for request: TokenRequest) async throws -> Bool {
        guard let invoice = request.inputs[.invoice], let order = orders[invoice] else { return false }
        return order.owner == principal.subject && order.customer == request.inputs[.customer]
            && order.age <= maximumAge
    }
}

#if JWTSupport
import TokenBroker

/// The customers and invoices there are. Everything about an invoice follows from its id, so nothing is stored.
enum Catalogue {
    private static let customers: [ExactString: String] = ["cus_demo": "inv_", "cus_other": "oth_"]

    static func hasCustomer(_ id: ExactString) -> Bool { customers[id] != nil }

    static func owner(ofInvoice id: ExactString) -> ExactString? {
        customers.first { id.utf8.starts(with: $0.value.utf8) && id.utf8.count > $0.value.utf8.count }?.key
    }

    static func customer(_ id: ExactString) -> JSONValue? {
        guard hasCustomer(id) else { return nil }
        return ["id": .string(id), "name": .string(id == "cus_demo" ? "Demo Customer" : "Another Customer")]
    }

    static func invoice(_ id: ExactString) -> JSONValue? {
        guard let owner = owner(ofInvoice: id) else { return nil }
        // Any fixed function of the id will do; the standard hasher is seeded anew in each process.
        let sum = id.utf8.reduce(UInt32(7)) { $0 &* 31 &+ UInt32($1) }
        let cents = 1_000 + Int(sum % 90_000)
        let tax = (cents * 19 + 50) / 100
        return [
            "id": .string(id), "customer_id": .string(owner), "invoice_number": .string("2026-\(sum % 10_000)"),
            "status": "open", "currency": "USD", "due_date": "2026-12-31", "created_at": "2026-11-01T09:00:00Z",
            "sub_total": .number(Double(cents) / 100), "total": .number(Double(cents + tax) / 100),
        ]
    }
}
#endif

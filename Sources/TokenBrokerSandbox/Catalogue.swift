#if JWTSupport
import FoundationEssentials
import TokenBroker

/// The customers and invoices of the sandbox. Everything about an invoice except its payment follows from its id and
/// the time.
enum Catalogue {
    private static let customers: [ExactString: String] = ["cus_demo": "inv_", "cus_other": "oth_"]
    /// The description, price in cents and maximum quantity of each service.
    private static let services = [
        ("Full service, city bike", 8_900, 1), ("Brake pads, pair", 1_850, 2), ("Chain, 8-speed", 2_490, 1),
        ("Inner tube with fitting", 1_275, 2), ("Labor, half an hour", 2_400, 3),
    ]

    static func hasCustomer(_ id: ExactString) -> Bool { customers[id] != nil }

    static func owner(ofInvoice id: ExactString) -> ExactString? {
        customers.first { id.utf8.starts(with: $0.value.utf8) && id.utf8.count > $0.value.utf8.count }?.key
    }

    static func customer(_ id: ExactString) -> JSONValue? {
        guard hasCustomer(id) else { return nil }
        return ["id": .string(id), "name": .string(name(ofCustomer: id))]
    }

    /// Returns an invoice with the vendor's documented member names. `customer_name`, `memo` and `line_items` are the
    /// sandbox's own.
    static func invoice(_ id: ExactString, isPaid: Bool, at now: Date) -> JSONValue? {
        guard let owner = owner(ofInvoice: id) else { return nil }
        // Any deterministic function of the id will do. The standard hasher has another seed in each process.
        let sum = Int(id.utf8.reduce(UInt32(7)) { $0 &* 31 &+ UInt32($1) })
        let lines = (0..<3).map { index in
            let (description, price, most) = services[(sum + index) % services.count]
            return (description: description, quantity: 1 + (sum >> index) % most, price: price)
        }
        let cents = lines.reduce(0) { $0 + $1.quantity * $1.price }
        let tax = (cents * 8 + 50) / 100
        return [
            "id": .string(id), "customer_id": .string(owner), "customer_name": .string(name(ofCustomer: owner)),
            "invoice_number": .string(number(ofInvoice: id)), "memo": "Bicycle service and parts",
            "status": isPaid ? "paid" : "open", "currency": "USD",
            "due_date": .string(day(now, plus: 20)), "created_at": .string("\(day(now, plus: -10))T09:00:00Z"),
            "sub_total": amount(cents), "total": amount(cents + tax),
            "line_items": .array(
                lines.map { line in
                    [
                        "description": .string(line.description), "quantity": .number(Double(line.quantity)),
                        "unit_price": amount(line.price), "amount": amount(line.quantity * line.price),
                    ]
                }
            ),
        ]
    }

    private static func name(ofCustomer id: ExactString) -> String {
        id == "cus_demo" ? "Demo Customer" : "Another Customer"
    }

    /// Returns the number of an invoice, such as `INV-1001` for `inv_1001`.
    private static func number(ofInvoice id: ExactString) -> String {
        let number = id.utf8.map { byte -> UInt8 in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"): byte - 0x20
            case UInt8(ascii: "_"): UInt8(ascii: "-")
            default: byte
            }
        }
        return String(decoding: number, as: UTF8.self)
    }

    private static func amount(_ cents: Int) -> JSONValue { .number(Double(cents) / 100) }

    private static func day(_ now: Date, plus days: Double) -> String {
        now.addingTimeInterval(days * 86_400).formatted(Date.ISO8601FormatStyle().year().month().day())
    }
}
#endif

#if ConfigurationSupport
public import TokenBroker

extension PolicyPlugin {
    /// The policy `claim`: the caller's claims name the customer, the invoice, or both.
    public static var claim: Self {
        Self(
            "claim", "The caller's claims name the customer, the invoice, or both.", keys: ClaimKeys(),
            check: { (values) throws(ConfigurationError.Problem) in
                guard values.customer == nil, values.invoice == nil else { return }
                throw ConfigurationError.Problem(
                    .conflict, key: "customer",
                    "expected the name of a claim for customer, invoice or both, found neither")
            }
        ) { _, values in ClaimPolicy(customer: values.customer, invoice: values.invoice) }
    }
}

private struct ClaimKeys: ConfigurationKeys {
    let customer = ConfigurationKey(
        "customer", .optional(.text), default: nil, "The claim with the caller's customer id or ids.")
    let invoice = ConfigurationKey(
        "invoice", .optional(.text), default: nil, "The claim with the caller's invoice id or ids.")
}
#endif

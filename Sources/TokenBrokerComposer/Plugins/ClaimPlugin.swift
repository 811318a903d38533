#if ConfigurationSupport
public import TokenBroker

extension PolicyPlugin {
    /// `claim`: a claim of whoever asks names the session.
    public static var claim: Self {
        Self(
            "claim", "A claim of whoever asks names the customer, the invoice, or both.", keys: ClaimKeys(),
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
        "customer", .optional(.text), default: nil, "The claim with their customer or customers.")
    let invoice = ConfigurationKey(
        "invoice", .optional(.text), default: nil, "The claim with their invoice or invoices.")
}
#endif

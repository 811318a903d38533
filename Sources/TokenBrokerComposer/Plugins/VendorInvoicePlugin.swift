#if ConfigurationSupport
public import TokenBroker

extension PolicyPlugin {
    /// `vendor-invoice`: the vendor says whose the invoice is.
    public static var vendorInvoice: Self {
        Self(
            "vendor-invoice", "The vendor says that the invoice is the customer's.", keys: VendorInvoiceKeys()
        ) { context, values in
            let policy = VendorInvoicePolicy(
                vendor: context.vendor, accessTokens: context.accessTokens, transport: context.transport,
                timeout: context.timeout, clock: context.clock, wallClock: context.wallClock, logger: context.logger
            )
            guard let policy else {
                throw ConfigurationError.Problem(
                    .failed, key: "kind",
                    "expected a policy for this vendor, found vendor-invoice, while the profile "
                        + "\(context.vendor.profile.id) has no way to look an invoice up"
                )
            }
            return policy.caching(for: values.cacheFor, clock: context.clock)
        }
    }
}

private struct VendorInvoiceKeys: ConfigurationKeys {
    let cacheFor = ConfigurationKey(
        "cacheFor", .duration(.zero ... .seconds(600)), default: .seconds(30), "How long an answer holds.")
}
#endif

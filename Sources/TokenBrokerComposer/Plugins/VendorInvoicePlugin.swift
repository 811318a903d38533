#if ConfigurationSupport
public import TokenBroker

extension PolicyPlugin {
    /// The policy `vendor-invoice`: the vendor confirms that the invoice belongs to the customer.
    public static var vendorInvoice: Self {
        Self(
            "vendor-invoice", "The vendor confirms that the invoice belongs to the customer.", keys: VendorInvoiceKeys()
        ) { context, values in
            let policy = VendorInvoicePolicy(
                vendor: context.vendor, accessTokens: context.accessTokens, transport: context.transport,
                timeout: context.timeout, clock: context.clock, wallClock: context.wallClock, logger: context.logger
            )
            guard let policy else {
                throw ConfigurationError.Problem(
                    .failed, key: "kind",
                    "expected a policy that works with this vendor, found vendor-invoice, although the profile "
                        + "\(context.vendor.profile.id) has no invoice lookup"
                )
            }
            return policy.caching(for: values.cacheFor, clock: context.clock)
        }
    }
}

private struct VendorInvoiceKeys: ConfigurationKeys {
    let cacheFor = ConfigurationKey(
        "cacheFor", .duration(.zero ... .seconds(600)), default: .seconds(30), "How long a decision is cached.")
}
#endif

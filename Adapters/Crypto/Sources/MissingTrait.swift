#if !CryptoSupport
/// Needs the trait `CryptoSupport`.
@available(
    *, unavailable,
    message: "enable the trait CryptoSupport where your package depends on token-broker: traits: [\"CryptoSupport\"]"
)
public struct HMACSHA256 {}

/// Needs the trait `CryptoSupport`.
@available(
    *, unavailable,
    message: "enable the trait CryptoSupport where your package depends on token-broker: traits: [\"CryptoSupport\"]"
)
public struct FleetSealing {}
#endif

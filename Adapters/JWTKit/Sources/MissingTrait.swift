#if !JWTSupport
/// Needs the trait `JWTSupport`.
@available(
    *, unavailable,
    message: "enable the trait JWTSupport where your package depends on token-broker: traits: [\"JWTSupport\"]"
)
public struct JWTAuthenticator {}

/// Needs the trait `JWTSupport`.
@available(
    *, unavailable,
    message: "enable the trait JWTSupport where your package depends on token-broker: traits: [\"JWTSupport\"]"
)
public struct JWTKeys {}

/// Needs the trait `JWTSupport`.
@available(
    *, unavailable,
    message: "enable the trait JWTSupport where your package depends on token-broker: traits: [\"JWTSupport\"]"
)
public struct PEMAssertionSigner {}
#endif

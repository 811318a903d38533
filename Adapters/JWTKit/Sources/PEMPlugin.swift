#if JWTSupport && ConfigurationSupport
public import TokenBroker
public import TokenBrokerComposer

extension AssertionSignerPlugin {
    /// `pem`: a private key in PEM form.
    public static var pem: Self {
        Self(
            "pem", "Signs with the private key that stands, as PEM, where the client secret would.",
            trait: "JWTSupport", keys: PEMKeys()
        ) { _, values in PEMAssertionSigner(algorithm: values.algorithm, keyID: values.keyID) }
    }
}

private struct PEMKeys: ConfigurationKeys {
    let algorithm = ConfigurationKey(
        "algorithm", .optional(algorithmName), default: nil,
        "Otherwise what the key suggests: RS256 for RSA, ES256 for P-256, EdDSA for Ed25519."
    )
    let keyID = ConfigurationKey("keyID", .optional(.text), default: nil, "The `kid` in the header of an assertion.")

    private static let algorithmName = ConfigurationType.choice(
        PEMAssertionSigner.Algorithm.allCases.map(\.rawValue)
    )
    .map("RS256, PS256, ES256 or EdDSA", text: { $0.rawValue }, { PEMAssertionSigner.Algorithm(rawValue: $0) })
}
#endif

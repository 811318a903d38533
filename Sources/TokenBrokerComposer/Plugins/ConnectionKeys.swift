#if ConfigurationSupport
/// The keys that every transport has that opens connections.
package enum ConnectionKeys {
    package static let connectTimeout = ConfigurationKey(
        "connectTimeout", .duration(.milliseconds(1) ... .seconds(60)), default: .seconds(3),
        "For establishing a connection, name resolution and TLS included."
    )
    package static let connectionLifetime = ConfigurationKey(
        "connectionLifetime", .duration(.seconds(1) ... .seconds(86_400)), default: .seconds(300),
        "How old a connection may be to take another request. A server whose name has moved is found within it."
    )
    package static let caFile = ConfigurationKey(
        "caFile", .optional(.text), default: nil as String?,
        "A PEM file with the certificate authorities to trust, instead of the system's."
    )
}
#endif

/// The settings of the section `metrics`, for the code that runs the server.
public struct MetricsSettings: Sendable, Hashable {
    /// The host name or IP address to listen on.
    public var host = "127.0.0.1"
    /// The port to listen on; 0 for any free port.
    public var port = 9464

    /// Creates settings with the default values.
    public init() {}
}

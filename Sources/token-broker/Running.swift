#if CommandLineSupport
import Logging
import ServiceLifecycle
import UnixSignals

/// Runs services until one fails or a signal asks to stop, then stops them in reverse order within `deadline`.
func run(_ services: [any Service], deadline: Duration, logger: Logger) async throws {
    var configuration = ServiceGroupConfiguration(
        services: services, gracefulShutdownSignals: [.sigterm, .sigint], logger: logger
    )
    configuration.maximumGracefulShutdownDuration = deadline
    do {
        try await ServiceGroup(configuration: configuration).run()
    } catch let failure as Failure {
        throw failure.exit()
    }
}
#endif

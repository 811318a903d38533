#if CurlSupport
import CLibcurl

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Connections that were all opened after ``start``, with the related state that libcurl keeps, such as resolved
/// addresses.
///
/// libcurl closes a connection because of its age only while it is idle, which with HTTP/2 may never happen. A
/// generation is therefore retired as a whole: it takes no new requests, and closes its connections when its last
/// request has ended.
///
/// Created on any thread, used on the owner thread only.
final class ConnectionGeneration {
    let multi: UnsafeMutableRawPointer
    let start = ContinuousClock.now
    let configuration: CurlTransport.Configuration
    /// Released after the connections, which refer to the sockets.
    let sockets: NewSockets
    private(set) var transfers = 0

    init?(_ configuration: CurlTransport.Configuration, _ sockets: NewSockets) {
        guard let multi = curl_multi_init() else { return nil }
        self.multi = multi
        (self.configuration, self.sockets) = (configuration, sockets)
        _ = tb_multi_set_long(multi, CURLMOPT_MAX_HOST_CONNECTIONS, configuration.maximumConnectionsPerHost)
        _ = tb_multi_set_long(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, configuration.maximumConnections)
        _ = tb_multi_set_long(multi, CURLMOPT_MAXCONNECTS, configuration.maximumConnections)
    }

    deinit { curl_multi_cleanup(multi) }

    /// Adds a handle.
    ///
    /// - Returns: Whether libcurl accepted it.
    func add(_ handle: EasyHandle) -> Bool {
        guard curl_multi_add_handle(multi, handle.pointer) == CURLM_OK else { return false }
        handle.generation = self
        transfers += 1
        return true
    }

    func remove(_ handle: EasyHandle) {
        curl_multi_remove_handle(multi, handle.pointer)
        handle.generation = nil
        transfers -= 1
    }
}

/// The sockets that libcurl has opened and that are not yet known to be connected. Owner thread only.
///
/// A connected socket gets a limit on how long its peer may be silent. On a socket that is still connecting, that limit
/// would act as a connect timeout.
final class NewSockets {
    /// How long a peer may leave all data that was sent to it unacknowledged, in milliseconds. TCP retransmits after a
    /// fifth of a second or a few round trips, and then ever more slowly. This value allows several retransmissions.
    private static let maximumSilence: UInt32 = 2000
    private var descriptors: [curl_socket_t] = []

    func opened(_ descriptor: curl_socket_t) { descriptors.append(descriptor) }

    func close(_ descriptor: curl_socket_t) -> Int32 {
        descriptors.removeAll { $0 == descriptor }
        #if canImport(Glibc)
        return Glibc.close(descriptor)
        #elseif canImport(Musl)
        return Musl.close(descriptor)
        #else
        return Darwin.close(descriptor)
        #endif
    }

    func limitSilence() {
        guard !descriptors.isEmpty else { return }
        descriptors.removeAll { tb_socket_limit_silence($0, Self.maximumSilence) != 0 }
    }
}
#endif

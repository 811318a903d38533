#if CurlSupport
import CLibcurl

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Connections that were all opened after one moment, with what libcurl keeps beside them, such as the addresses of names.
///
/// libcurl gives a connection up for its age only while nobody uses it, which with HTTP/2 may never happen. A generation is given up as a
/// whole: it takes no new request, and closes its connections when the last one has ended. Made on any thread, used on the owner thread only.
final class ConnectionGeneration {
    let multi: UnsafeMutableRawPointer
    let start = ContinuousClock.now
    let configuration: CurlTransport.Configuration
    /// Released after the connections, which refer to it.
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

    /// - Returns: Whether libcurl has accepted it.
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

/// The sockets that libcurl has opened and that are not known to be connected. Owner thread only.
///
/// A connected one gets a limit on its peer's silence. Before that, the limit would be one for connecting.
final class NewSockets {
    /// Packets are sent again after a fifth of a second or a few round trips, and then ever more slowly: this is several of them.
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

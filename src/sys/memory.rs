//! Memory of a process that now waits for a long time (malloc_trim(3), madvise(2)).

/// Gives back what free(3) kept, and the pages of the executable that were needed to get here.
pub(crate) fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim has no preconditions.
    unsafe {
        libc::malloc_trim(0);
    }
    // SAFETY: the callback only reads the list that it is handed, which the loader keeps for the whole call.
    unsafe {
        libc::dl_iterate_phdr(Some(release_object), std::ptr::null_mut());
    }
}

/// Drops the resident pages of every segment that is not writable. They are clean copies of the file, so the few that
/// the waiting loop touches come back from the page cache.
unsafe extern "C" fn release_object(info: *mut libc::dl_phdr_info, _: usize, _: *mut libc::c_void) -> libc::c_int {
    // SAFETY: dl_iterate_phdr passes a valid structure and its table of `dlpi_phnum` program headers.
    let (base, headers) = unsafe {
        let info = &*info;
        (info.dlpi_addr, std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)))
    };
    // SAFETY: sysconf has no preconditions.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    for header in headers.iter().filter(|h| h.p_type == libc::PT_LOAD && h.p_flags & libc::PF_W == 0) {
        let start = base.wrapping_add(header.p_vaddr) & !(page - 1);
        // The last page may be shared with a writable segment.
        let end = base.wrapping_add(header.p_vaddr + header.p_memsz) & !(page - 1);
        if end > start {
            // SAFETY: the range lies in a private, read-only mapping of the executable, which nothing has written to:
            // its content after the call is what it was before.
            unsafe {
                libc::madvise(start as *mut libc::c_void, (end - start) as usize, libc::MADV_DONTNEED);
            }
        }
    }
    0
}

//! Asking the processor for memory ahead of its use.
#![expect(unsafe_code, reason = "the one instruction has no safe form")]

/// Asks the processor to bring the line of `target` near; returns at once and changes nothing. For batches that look at memory
/// in steps: while one key's line is on its way, others are asked for. On processors other than x86-64 it does nothing.
#[inline(always)]
#[expect(clippy::inline_always, reason = "one instruction")]
pub fn prefetch<T>(target: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint that reads nothing and cannot fault; every x86-64 processor has SSE.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(
            std::ptr::from_ref(target).cast(),
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = target;
}

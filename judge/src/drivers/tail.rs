
#[no_mangle]
pub extern "C" fn ENTRY() -> i32 {
    let ended = ::std::panic::catch_unwind(|| {
        let code = ::std::process::Termination::report(main());
        let _ = ::std::io::Write::flush(&mut ::std::io::stdout());
        code
    });
    match ended {
        Ok(code) if code == ::std::process::ExitCode::SUCCESS => 0,
        Ok(_) => 1,
        Err(_) => 101,
    }
}

//! Who else on this machine may use the files that are made.

/// Modes of new folders and files. They count from the instant of creation: a mode that is changed later leaves a moment in which others
/// can open the file, and then keep it open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Nobody but this user: folders 0700, files 0600, whatever the umask says.
    #[default]
    Private,
    /// Whom the umask lets in, as with the files of other programs.
    Umask,
}

impl Sharing {
    /// Mode of a new folder, before the umask.
    pub(crate) fn folder_mode(self) -> u32 {
        match self {
            Self::Private => 0o700,
            Self::Umask => 0o777,
        }
    }

    /// Mode of a new file, before the umask.
    pub(crate) fn file_mode(self) -> u32 {
        match self {
            Self::Private => 0o600,
            Self::Umask => 0o666,
        }
    }
}

//! `RocksDB` in its strongest fair configuration, and another one from a file.
//!
//! The reasons for each setting are in `docs/benchmarks-compare.md`.

use std::path::Path;

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DataBlockIndexType, Env, Options,
    WriteBufferManager,
};

use super::contract::setting;
use crate::cli::Codec;
use crate::compare::spec::{Files, Prepare};
use crate::failure::Failure;
use crate::result::Settings;

/// Longest file of settings.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What to open with.
pub(super) struct Chosen {
    pub(super) database: Options,
    pub(super) families: Vec<ColumnFamilyDescriptor>,
    pub(super) settings: Settings,
}

/// Ours, or those of the file on top of or in place of them.
pub(super) fn chosen(prepare: &Prepare) -> Result<Chosen, Failure> {
    let bytes = usize::try_from(prepare.memory_bytes).unwrap_or(usize::MAX);
    // The automatic form: no guess of the size of entries is needed.
    let cache = Cache::new_hyper_clock_cache(bytes, 0);
    let mut settings = Settings::new();
    let mut options = strongest(prepare, &cache, &mut settings);
    let Some(path) = &prepare.rocksdb_options else {
        return Ok(Chosen { families: vec![default_family(options.clone())], database: options, settings });
    };
    let text = read(path)?;
    setting(&mut settings, "options_file", path.display().to_string());
    let wrong = |error: rocksdb::Error| {
        Failure::Usage(format!("--rocksdb-options {}: RocksDB refuses it: {error}", path.display()))
    };
    if text.lines().any(|line| line.trim_start().starts_with('[')) {
        setting(&mut settings, "options_form", "RocksDB's OPTIONS format: nothing but the cache is ours");
        let folder =
            tempfile::tempdir().map_err(|error| Failure::local("cannot make a folder for", path, error))?;
        std::fs::write(folder.path().join("OPTIONS-000007"), &text)
            .map_err(|error| Failure::local("cannot copy", path, error))?;
        let env = Env::new().map_err(wrong)?;
        let (mut database, families) =
            Options::load_latest(folder.path(), env, false, cache).map_err(wrong)?;
        database.create_if_missing(true);
        return Ok(Chosen { database, families, settings });
    }
    setting(&mut settings, "options_form", "key=value on top of ours");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let joined = lines.map(|line| line.trim_end_matches(';')).collect::<Vec<_>>().join(";");
    let options = options.get_options_from_string(joined).map_err(wrong)?;
    Ok(Chosen { families: vec![default_family(options.clone())], database: options, settings })
}

fn default_family(options: Options) -> ColumnFamilyDescriptor {
    ColumnFamilyDescriptor::new(rocksdb::DEFAULT_COLUMN_FAMILY_NAME, options)
}

fn read(path: &Path) -> Result<String, Failure> {
    use std::io::Read;
    let failed = |error| Failure::local("cannot read the options in", path, error);
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn strongest(prepare: &Prepare, cache: &Cache, settings: &mut Settings) -> Options {
    let memory = usize::try_from(prepare.memory_bytes).unwrap_or(usize::MAX);
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(4096);
    table.set_format_version(6);
    table.set_bloom_filter(10.0, false);
    table.set_cache_index_and_filter_blocks(true);
    table.set_cache_index_and_filter_blocks_with_high_priority(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_pin_top_level_index_and_filter(true);
    table.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
    table.set_data_block_hash_ratio(0.75);
    table.set_optimize_filters_for_memory(true);

    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_use_direct_reads(true);
    options.set_use_direct_io_for_flush_and_compaction(true);
    options.set_compaction_readahead_size(2 << 20);
    options.set_max_open_files(-1);
    // What the memtables take is taken from the cache while they take it: one budget for both.
    let write_bytes = memory / 2;
    options.set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager_with_cache(
        write_bytes,
        false,
        cache.clone(),
    ));
    let buffer_bytes = (memory / 8).clamp(4 << 20, 64 << 20);
    options.set_write_buffer_size(buffer_bytes);
    options.set_max_write_buffer_number(4);
    options.set_memtable_whole_key_filtering(true);
    options.set_memtable_prefix_bloom_ratio(0.1);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_max_bytes_for_level_base(256 << 20);
    let file_bytes: u64 = if prepare.files == Files::Big { 4 << 30 } else { 64 << 20 };
    options.set_target_file_size_base(file_bytes);
    options.set_max_background_jobs(2);
    options.set_optimize_filters_for_hits(true);
    options.set_bytes_per_sync(1 << 20);
    let compression = match prepare.codec {
        Codec::None => DBCompressionType::None,
        Codec::Zstd => DBCompressionType::Zstd,
    };
    options.set_compression_type(compression);
    // Window, level, strategy, dictionary.
    options.set_compression_options(-14, 1, 0, 0);

    for (name, value) in [
        ("cache", "HyperClockCache, all of the memory; memtables are charged to it".to_owned()),
        ("memory_bytes", memory.to_string()),
        ("write_buffers_bytes_max", write_bytes.to_string()),
        ("write_buffer_bytes", buffer_bytes.to_string()),
        ("block_bytes", "4096".to_owned()),
        ("filter", "Bloom, 10 bits a key, of whole files, none on the last level's misses".to_owned()),
        ("index_and_filter", "in the cache, high priority, those of level 0 and all tops pinned".to_owned()),
        ("data_block_index", "hash, ratio 0.75".to_owned()),
        ("direct_reads", "true".to_owned()),
        ("direct_flush_and_compaction", "true".to_owned()),
        ("checksums_verified", "true".to_owned()),
        ("target_file_bytes", file_bytes.to_string()),
        ("compression", format!("{:?}", prepare.codec)),
        ("background_jobs", "2".to_owned()),
        ("log", "off".to_owned()),
        ("statistics", "off".to_owned()),
    ] {
        setting(settings, name, value);
    }
    options
}
